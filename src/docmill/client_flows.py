"""What a client does, without doing it: each flow is a generator of steps, and gets what they give.

So the client that blocks and the one that awaits (`client.py`) are one source. A flow asks, pauses
or reads a file; it is given the answer, or `Unreachable` is thrown into it.
"""

import base64
import hashlib
import json
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import BinaryIO, NoReturn, TypeVar, cast

from docmill.client_errors import DocumentFailed, NotFound, Unreachable, refusal
from docmill.client_memory import UploadMemory
from docmill.client_types import Status

T = TypeVar("T")

TUS = {"Tus-Resumable": "1.0.0"}
SLICE = {**TUS, "Content-Type": "application/offset+octet-stream"}
SLICE_BYTES = 8 << 20
FIRST_MIB = 1 << 20
WAIT_SECONDS = 25
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
# What a server answers that is away, busy, or being restarted behind its proxy.
PASSING = frozenset({408, 423, 425, 429, 500, 502, 503, 504})
NOT_MODIFIED = 304
GONE = frozenset({404, 410})

OnProgress = Callable[[int, int], None]
OnStatus = Callable[[Status], None]
OnAway = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request; the answer is given back."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    params: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """So many seconds of doing nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """Some bytes of a file from an offset on; they are given back."""

    file: BinaryIO
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> dict[str, object]:
        """The body, which must be a JSON object.

        Raises:
            Unreachable: it is not; something else than docmill answers.
        """
        try:
            shape = json.loads(self.content)
        except ValueError:
            shape = None
        if not isinstance(shape, dict):
            raise Unreachable(f"This is no answer of docmill: {self.content[:200]!r}.")
        return shape


Step = Ask | Pause | Read
Flow = Generator[Step, object, T]


# asking ----------------------------------------------------------------------------------


def ask(request: Ask) -> Flow[Answer]:
    """One request, once.

    Raises:
        Refused, Unreachable: as the types in `client_errors` say.
    """
    answer = yield from _answer(request)
    if answer.status in PASSING:
        raise Unreachable(f"The server answers {answer.status}: {_detail(answer)}")
    if answer.status >= 400:  # noqa: PLR2004 - HTTP's border of refusals
        raise_refusal(answer)
    return answer


def ask_json(request: Ask) -> Flow[dict[str, object]]:
    """One request, and the JSON of its answer."""
    answer = yield from ask(request)
    return answer.json()


def patiently(request: Ask, patience: "Patience") -> Flow[Answer]:
    """A request that may be repeated, until it is answered or patience ends.

    Raises:
        Refused, Unreachable: as above.
    """
    while True:
        try:
            answer = yield from _answer(request)
        except Unreachable as error:
            yield from patience.wait(error)
            continue
        if answer.status in PASSING:
            trouble = Unreachable(f"The server answers {answer.status}: {_detail(answer)}")
            yield from patience.wait(trouble, retry_after(answer))
            continue
        patience.renew()
        if answer.status >= 400:  # noqa: PLR2004 - as above
            raise_refusal(answer)
        return answer


def _answer(request: Ask) -> Flow[Answer]:
    answer = yield request
    assert isinstance(answer, Answer)  # noqa: S101 - the protocol between flows and clients
    return answer


def raise_refusal(answer: Answer) -> NoReturn:
    """The typed error of an answer that is a refusal."""
    body = answer.json()
    if "code" not in body or "detail" not in body:
        raise Unreachable(f"This is no answer of docmill: {answer.content[:200]!r}.")
    raise refusal(answer.status, body)


def _detail(answer: Answer) -> str:
    try:
        return str(answer.json().get("detail", ""))
    except Unreachable:
        return "it does not say why."


def retry_after(answer: Answer) -> float:
    """How many seconds the server wants to be left alone; 0 where it does not say."""
    value = answer.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


class Patience:
    """How long trouble is waited out, with growing pauses; `on_away` is told once per trouble."""

    def __init__(self, seconds: float, on_away: OnAway | None = None) -> None:
        self._seconds = seconds
        self._on_away = on_away
        self._since: float | None = None
        self._pause = FIRST_PAUSE_SECONDS

    def renew(self) -> None:
        """The trouble is over."""
        self._since = None
        self._pause = FIRST_PAUSE_SECONDS

    def wait(self, trouble: Unreachable, at_least: float = 0.0) -> Flow[None]:
        """Pause before the next try.

        Raises:
            Unreachable: the trouble, when it has lasted too long.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
            if self._on_away is not None:
                self._on_away(str(trouble))
        if now - self._since > self._seconds:
            raise trouble
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        yield Pause(max(at_least, self._pause * jitter))
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2)


# uploading -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A file to send: what it is called, its bytes, and what tells it from other files."""

    name: str
    file: BinaryIO
    size: int
    fields: Mapping[str, str]
    identity: str


def upload(
    source: Source, memory: UploadMemory, patience: Patience, on_progress: OnProgress
) -> Flow[str]:
    """Send a file, resumed as often as it takes; returns the document's id.

    Raises:
        Refused: the file, or something that is said about it.
        Unreachable: with how many bytes are there; the next try goes on from them.
    """
    sending = Sending(source, memory, patience, on_progress)
    return (yield from sending.run())


class Sending:
    """One file on its way: where it is sent to, and how much of it the server has."""

    def __init__(
        self, source: Source, memory: UploadMemory, patience: Patience, on_progress: OnProgress
    ) -> None:
        self._source = source
        self._memory = memory
        self._patience = patience
        self._on_progress = on_progress
        self._fingerprint = ""
        self._where: str | None = None
        self._offset = 0
        self._document_id: str | None = None
        self._remembered = False

    def run(self) -> Flow[str]:
        """Send it all; returns the document's id."""
        self._fingerprint = yield from self._identify()
        if self._source.size > SLICE_BYTES:
            self._where = self._memory.recall(self._fingerprint)
        if self._where is not None:
            self._remembered = True
            yield from self._look()
        try:
            while self._document_id is None:
                yield from self._step()
        except Unreachable as trouble:
            raise Unreachable(str(trouble), self._offset) from trouble
        if self._remembered:
            self._memory.forget(self._fingerprint)
        return self._document_id

    def _step(self) -> Flow[None]:
        """Send something; after trouble, ask how much of it is there."""
        try:
            if self._where is None:
                yield from self._create()
            else:
                yield from self._send_slice()
            self._patience.renew()
        except Unreachable as trouble:
            yield from self._patience.wait(trouble)
            if self._where is not None:
                yield from self._look()

    def _identify(self) -> Flow[str]:
        """The same file, said the same of, sent to the same server: the same upload."""
        first = yield from _read(self._source.file, 0, FIRST_MIB)
        said = json.dumps([self._source.identity, self._source.size, dict(self._source.fields)])
        return hashlib.sha256(said.encode() + first).hexdigest()

    def _create(self) -> Flow[None]:
        """Begin the upload; a small file goes with it, in the one request."""
        small = self._source.size <= SLICE_BYTES
        content = (yield from _read(self._source.file, 0, SLICE_BYTES)) if small else None
        said = {"filename": self._source.name, **self._source.fields}
        headers = {
            **(SLICE if small else TUS),
            "Upload-Length": str(self._source.size),
            "Upload-Metadata": ",".join(f"{key} {_base64(value)}" for key, value in said.items()),
        }
        answer = yield from ask(Ask("POST", "/uploads", headers, content))
        self._where = answer.headers["location"]
        self._note(answer)
        if self._document_id is None:
            self._memory.remember(self._fingerprint, self._where)
            self._remembered = True

    def _look(self) -> Flow[None]:
        """Ask how much is there. An upload that is gone is begun anew."""
        try:
            answer = yield from patiently(Ask("HEAD", self._where or "", TUS), self._patience)
            self._note(answer)
        except NotFound:
            self._memory.forget(self._fingerprint)
            self._where, self._offset = None, 0

    def _send_slice(self) -> Flow[None]:
        content = yield from _read(self._source.file, self._offset, SLICE_BYTES)
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        headers = {
            **SLICE,
            "Upload-Offset": str(self._offset),
            "Upload-Checksum": f"sha256 {checksum}",
        }
        answer = yield from _answer(Ask("PATCH", self._where or "", headers, content))
        if answer.status in PASSING | {409, 460}:
            # Elsewhere than we thought, or damaged on the way: ask, and send it again.
            yield Pause(retry_after(answer))
            raise Unreachable(f"The server answers {answer.status}: {_detail(answer)}")
        if answer.status in GONE:
            return (yield from self._look())
        if answer.status >= 400:  # noqa: PLR2004 - as in `ask`
            raise_refusal(answer)
        return self._note(answer)

    def _note(self, answer: Answer) -> None:
        self._offset = int(answer.headers.get("upload-offset", 0))
        self._document_id = answer.headers.get("docmill-document-id")
        self._on_progress(self._offset, self._source.size)


def _read(file: BinaryIO, offset: int, size: int) -> Flow[bytes]:
    content = yield Read(file, offset, size)
    assert isinstance(content, bytes)  # noqa: S101 - as in `_answer`
    return content


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# waiting ---------------------------------------------------------------------------------


def wait(
    document_id: str, patience: Patience, on_status: OnStatus, seconds: float | None
) -> Flow[Status]:
    """Follow a document until it has ended; returns its last status.

    A server that does not answer is asked again: the work goes on without anybody who watches.

    Raises:
        DocumentFailed: it failed or was cancelled.
        TimeoutError: it has not ended after so many seconds.
        Unreachable: the server was away for longer than patience lasts.
    """
    ends = None if seconds is None else time.monotonic() + seconds
    tag = ""
    while True:
        left = WAIT_SECONDS if ends is None else min(WAIT_SECONDS, ends - time.monotonic())
        if left <= 0:
            raise TimeoutError(f"The document {document_id} has not ended in {seconds:g} seconds.")
        headers = {"Prefer": f"wait={max(1, int(left))}", "If-None-Match": tag}
        answer = yield from patiently(
            Ask("GET", f"/documents/{document_id}/status", headers), patience
        )
        if answer.status == NOT_MODIFIED:
            continue
        tag = answer.headers["etag"]
        status = cast("Status", answer.json())
        on_status(status)
        if status["done"]:
            if status["status"] != "completed":
                raise DocumentFailed(status)
            return status
