"""Real clients of tus on bad networks and against killed servers; the reference server's answers.

The clients are tus-js-client (on Node) and tuspy; the reference is @tus/server. `make test`
installs those of Node where there is a Node; without it their tests skip.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx2
import pytest
from tusclient.client import TusClient

from cutting_proxy import CuttingProxy
from restartable_postgres import RestartablePostgres
from running import SERVES, Docmill, Started, until

JUDGES = Path(__file__).parent.parent / "judges"
MIB = 1 << 20
SMALL = 200_000
HEADERS = 600  # of the requests before a file's first byte, about
LARGE = 24 * MIB
TUS = {"Tus-Resumable": "1.0.0"}


class Judge(Protocol):
    """A real client: sends a file to an endpoint, and gives up only when it really must."""

    def send(self, endpoint: str, file: Path) -> None:
        """Send it; whatever happens on the way, in the end it is there."""

    def close(self) -> None:
        """Nothing more will be sent."""


class TusJs:
    """tus-js-client in a Node process."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None or not (JUDGES / "node_modules").is_dir():
            pytest.skip("no Node, or its packages are not installed (npm ci in tests/judges)")
        self._process = subprocess.Popen(
            [node, JUDGES / "send.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, endpoint: str, file: Path) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"endpoint": endpoint, "file": str(file), "name": file.name}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        assert "error" not in told, told
        assert told["document"], told
        posts = [status for method, status in told["requests"] if method == "POST"]
        assert posts.count(201) == 1, f"it began anew: {told['requests']}"

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.kill()  # it may still be trying, for a test that failed
        self._process.wait(60)
        self._process.stdout.close()


class TusPy:
    """tuspy, told to try again as its documentation says."""

    def send(self, endpoint: str, file: Path) -> None:
        with file.open("rb") as stream:
            TusClient(endpoint).uploader(
                file_stream=stream,
                metadata={"filename": file.name},
                chunk_size=8 * MIB,
                retries=3000,  # a minute, in which a server has to start again
                retry_delay=0.02,
            ).upload()

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(params=[TusJs, TusPy], ids=["tus-js-client", "tuspy"])
def judge(request: pytest.FixtureRequest) -> Iterator[Judge]:
    made: Judge = request.param()
    yield made
    made.close()


def proxied(url: str) -> CuttingProxy:
    host, port = url.removeprefix("http://").split(":")
    return CuttingProxy((host, int(port)))


def file(folder: Path, size: int) -> Path:
    path = folder / f"{uuid4().hex}.bin"
    path.write_bytes(os.urandom(size))
    return path


def kept(http: httpx2.Client, name: str) -> list[bytes]:
    """The bytes of each document of that name."""
    documents = http.get("/documents", params={"page_size": 200}).json()["documents"]
    return [
        http.get(f"/documents/{document['document_id']}/content").content
        for document in documents
        if document["filename"] == name
    ]


def test_upload_cut_at_every_per_cent_arrives_whole_and_once(
    docmill: Docmill, judge: Judge, tmp_path: Path
) -> None:
    proxy = proxied(docmill.url)
    for per_cent in range(100):
        path = file(tmp_path, SMALL)
        proxy.cut_after(HEADERS + SMALL * per_cent // 100)
        judge.send(f"{proxy.url}/uploads", path)
        assert kept(docmill.http, path.name) == [path.read_bytes()], f"cut at {per_cent} %"
    assert proxy.cut == 100
    proxy.close()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[RestartablePostgres]:
    server = RestartablePostgres(tmp_path / "data")
    yield server
    server.stop()


class Standing:
    """A docmill on one port, which stays the same when it is started anew."""

    def __init__(self, url: str) -> None:
        self._env = {"DOCMILL_DATABASE_URL": url}
        self._started = self._start("0")
        self.port = self.url.rsplit(":", 1)[1]

    def _start(self, port: str) -> Started:
        started = Started("serve", "--port", port, "--workers", "1", env=self._env)
        self.url = started.says(SERVES.pattern)[1]
        return started

    def kill(self) -> None:
        self._started.kill()

    def start_again(self) -> None:
        self._started = self._start(self.port)

    def stop(self) -> None:
        assert self._started.terminate() == 0
        assert "Traceback" not in "\n".join(self._started.said)


@pytest.fixture
def standing(postgres: RestartablePostgres) -> Iterator[Standing]:
    made = Standing(postgres.url)
    yield made
    made.stop()


def uploads(postgres: RestartablePostgres) -> tuple[int, int, int]:
    """How many uploads were begun, documents made, and first jobs queued."""
    with postgres.connected() as admin:
        row = admin.execute(
            """select (select count(*) from uploads) as uploads,
                 (select count(*) from documents) as documents,
                 (select count(*) from processing_jobs where stage = 'parse') as jobs"""
        ).fetchone()
    assert row is not None
    return row["uploads"], row["documents"], row["jobs"]


def sent_through(judge: Judge, proxy: CuttingProxy, path: Path, disturb: Any) -> None:
    """Send a file, and have it disturbed when about half of it has passed."""
    proxy.pause = 0.002
    sending = threading.Thread(target=judge.send, args=[f"{proxy.url}/uploads", path])
    sending.start()
    until(lambda: proxy.passed > LARGE // 2 or None, "half of it has passed")
    disturb()
    proxy.pause = 0.0
    sending.join(120)
    assert not sending.is_alive(), "the client has not come to an end"


@pytest.mark.parametrize("what", ["server", "database", "database stopped for a while"])
def test_upload_goes_on_after_a_kill_in_the_middle_of_a_slice(
    standing: Standing,
    postgres: RestartablePostgres,
    judge: Judge,
    tmp_path: Path,
    what: str,
) -> None:
    path, proxy = file(tmp_path, LARGE), proxied(standing.url)

    def server() -> None:
        standing.kill()
        standing.start_again()

    def database_server(how: signal.Signals) -> None:
        postgres.strike(how)
        with httpx2.Client(base_url=standing.url, timeout=60) as http:
            until(lambda: http.get("/documents").status_code == 503 or None, "it is away")
        postgres.start_again()

    disturbances = {
        "server": server,
        "database": lambda: database_server(signal.SIGKILL),
        "database stopped for a while": lambda: database_server(signal.SIGINT),
    }
    sent_through(judge, proxy, path, disturbances[what])
    with httpx2.Client(base_url=standing.url, timeout=60) as http:
        assert kept(http, path.name) == [path.read_bytes()]
    proxy.close()
    assert uploads(postgres) == (1, 1, 1)
