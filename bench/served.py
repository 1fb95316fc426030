"""docmill as a process of its own, a thin client for it, and how much memory its tree takes."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
from load import LENGTH, STATUS

from docmill import database, parse_process
from docmill.config import Settings

SERVES = re.compile(r"docmill serves (http://\S+)\s")
SAMPLE_SECONDS = 0.1
SLOTS = Settings().slots
CONFINED = "\nNoNewPrivs:\t1\n"
LOOK_SECONDS = 0.01
# To count ten thousand documents takes milliseconds of the cores that docmill works with.
ENDED_LOOK_SECONDS = 0.05
ENDED = b"""select count(*) as ended from docmill.documents
           where status in ('completed', 'failed', 'cancelled')"""
PATIENCE_SECONDS = 600.0
KEPT_SECONDS = 2.0  # uvicorn closes a connection that was idle for five
READ_BYTES = 1 << 16
BARE = frozenset({b"204", b"304"})  # answers without a body, whatever their head says
MIB = 1 << 20
BOUNDARY = "docmill-bench"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


class PeakMemory:
    """Samples the private and shared memory of a process tree; a shared page counts once (PSS)."""

    def __init__(self, root: int, *, tree: bool = True) -> None:
        self._root = psutil.Process(root)
        self._tree = tree
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self._now()
        self.peak = self.before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self._now())

    def _now(self) -> int:
        children = self._root.children(recursive=True) if self._tree else []
        total = 0
        for process in [self._root, *children]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
        return total


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the lines above the body as they came, and the body."""

    status: int
    head: bytes
    content: bytes

    def header(self, name: str) -> str:
        """A header's value; "" without it."""
        found = re.search(rb"\r\n%b: ?([^\r]*)" % name.encode(), self.head, re.IGNORECASE)
        return found[1].decode() if found else ""


class Client:
    """One kept connection, and as little work per request as a client can do.

    Its processor time counts as docmill's, so it reads no more of an answer than the status and the
    length. The standard library's client takes 0.2 ms to do the same.
    """

    def __init__(self, address: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(address)
        self._place = parts.hostname or "", parts.port or 80
        self._headers = {"Host": parts.netloc, **(headers or {})}
        self._socket: socket.socket | None = None
        self._used = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def asked(
        self, method: str, path: str, body: bytes | Iterable[bytes] = b"", **headers: str
    ) -> Answer:
        """The answer. A body that comes in pieces needs its `content_length` among the headers."""
        begin, more = (body, ()) if isinstance(body, bytes) else (b"", body)
        if isinstance(body, bytes):
            headers["content_length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self._headers.items()]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "\r\n"]).encode()
        connection = self._connected()
        connection.sendall(head + begin)
        for piece in more:
            connection.sendall(piece)
        answer = received(connection)
        self._used = time.monotonic()
        return answer

    def json(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | dict[str, Any] = b"",
        **headers: str,
    ) -> Any:
        """What a good answer holds."""
        if isinstance(body, dict):
            body, headers = json.dumps(body).encode(), {"content_type": "application/json"}
        return json.loads(_good(self.asked(method, path, body, **headers)))

    def post(self, name: str, content: bytes, **fields: str) -> bytes:
        """Send a file that must be accepted; the answer's body."""
        body = form(name, content, **fields)
        return _good(self.asked("POST", "/documents", body, content_type=FORM))

    def upload(self, name: str, content: bytes, **fields: str) -> str:
        """Send a file that must be accepted; the document's id."""
        return str(json.loads(self.post(name, content, **fields))["document_id"])

    def _connected(self) -> socket.socket:
        if time.monotonic() - self._used > KEPT_SECONDS:
            self._close()  # the server has done so, or is about to
        if self._socket is None:
            self._socket = socket.create_connection(self._place, PATIENCE_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def received(connection: socket.socket) -> Answer:
    """An answer whose length is told, or that has no body."""
    come = _more(connection)
    while (end := come.find(b"\r\n\r\n")) < 0:
        come += _more(connection)
    head, start = come[:end], end + 4
    status, length = STATUS.match(head), LENGTH.search(head)
    assert status is not None, head
    bare = status[1] in BARE
    assert length is not None or bare, head
    ends = start + (0 if bare or length is None else int(length[1]))
    while len(come) < ends:
        come += _more(connection)
    return Answer(int(status[1]), head, come[start:ends])


def _more(connection: socket.socket) -> bytes:
    if not (come := connection.recv(READ_BYTES)):
        raise ConnectionError("the server closed the connection before its answer")
    return come


def _good(answer: Answer) -> bytes:
    assert answer.status < 300, (answer.status, answer.content[:500])
    return answer.content


def form(name: str, content: bytes, **fields: str) -> bytes:
    """A multipart body with some fields and one file."""
    parts = [
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    head = f'content-disposition: form-data; name="file"; filename="{name}"'
    return b"".join(
        [
            *(part.encode() for part in parts),
            f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode(),
            content,
            f"\r\n--{BOUNDARY}--\r\n".encode(),
        ]
    )


@contextlib.contextmanager
def served(where: Path | str, workers: int, **settings: str) -> Iterator[tuple[str, int]]:
    """A served docmill that is ready: its address and its process id.

    `where` is a folder, for an embedded database of its own, or the address of a database. Requests
    are not limited: a client that asks for all it can get is the point here.
    """
    own = {"DATA_DIR": str(where)} if isinstance(where, Path) else {"DATABASE_URL": where}
    chosen = {"PORT": "0", "WORKERS": str(workers), "REQUESTS_PER_SECOND": "0", **own, **settings}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DOCMILL_")}
    environment |= {f"DOCMILL_{name}": value for name, value in chosen.items()}
    command = [sys.executable, "-m", "docmill", "serve"]
    # The log goes into a file: who reads a pipe takes of the client's processor time.
    with (
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(command, stderr=log, env=environment) as process,
    ):
        try:
            address = _address(process, Path(log.name))
            _wait_until_ready(address, process.pid, workers * int(chosen.get("SLOTS", SLOTS)))
            yield address, process.pid
        finally:
            process.terminate()


@contextlib.contextmanager
def bare_route(url: str) -> Iterator[str]:
    """The route's address."""
    command = [sys.executable, str(Path(__file__).with_name("bare_route.py")), url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        assert process.stdin is not None
        process.stdin.close()


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    while True:
        ended = process.poll() is not None  # looked at first: its last words are read then
        said = log.read_text(encoding="utf-8")
        if match := SERVES.search(said):
            return match[1]
        if ended:
            raise SystemExit("docmill did not start:\n" + said)
        time.sleep(LOOK_SECONDS)


def _wait_until_ready(address: str, root: int, parsers: int) -> None:
    """Until a worker lives, where there are any, and so many parsers are warm."""
    if parsers == 0:
        return
    ends = time.monotonic() + PATIENCE_SECONDS
    with Client(address) as client:
        while time.monotonic() < ends:
            if client.asked("GET", "/readyz").status == HTTPStatus.OK:
                break
            time.sleep(LOOK_SECONDS)
    while _warm_parsers(root) < parsers:
        if time.monotonic() > ends:
            raise SystemExit(f"{parsers} parsers did not get warm")
        time.sleep(SAMPLE_SECONDS)


def _warm_parsers(root: int) -> int:
    """Parsers that have given up what a stranger's file could use, the last thing before the first.

    They come in the background, and nobody else tells: what they take at the start would else be
    among the seconds that are measured.
    """
    warm = 0
    for process in psutil.Process(root).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            if parse_process.ZYGOTE in process.cmdline():
                warm += CONFINED in Path(f"/proc/{process.pid}/status").read_text("utf-8")
    return warm


def wait_until_all_ended(url: str, documents: int) -> None:
    """Wait until so many documents have ended."""
    with database.connect(url, autocommit=True) as admin:
        ends = time.monotonic() + PATIENCE_SECONDS * 3
        while time.monotonic() < ends:
            row = admin.execute(ENDED).fetchone()
            assert row is not None
            if row["ended"] >= documents:
                return
            time.sleep(ENDED_LOOK_SECONDS)
    raise SystemExit(f"documents did not end: {row}")
