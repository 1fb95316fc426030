"""A small client of docmill's own API, for the commands that a user types.

Uploads stream from disk. Polling survives a server that is away for a while: the work goes on
without anybody who watches it, so losing sight of it is no failure.
"""

import mimetypes
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import httpx2

TIMEOUT = httpx2.Timeout(60.0, connect=5.0)
WAIT_SECONDS = 25
READ_BYTES = 1 << 18
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0

Status = dict[str, Any]
OnBytes = Callable[[int], None]


class Refused(Exception):
    """The server refused a request; `code` is stable, the message is a sentence for people."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class Unreachable(Exception):
    """Nothing answers at the address, or what answers is in trouble."""


class Client:
    """Calls to one docmill. Every call raises `Refused` or `Unreachable`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx2.Client(base_url=self.url, timeout=TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def upload(self, path: Path, fields: dict[str, str], on_bytes: OnBytes) -> Status:
        """Send a file with some fields; returns the body of the 202.

        `on_bytes` gets how many bytes are sent so far.
        """
        with path.open("rb") as file:
            size = path.stat().st_size
            body = MultipartFile(path.name, file, size, fields, on_bytes)
            return self._status("POST", "/documents", content=iter(body), headers=body.headers)

    def status(self, document_id: str) -> Status:
        """The document's status now."""
        return self._status("GET", f"/documents/{document_id}/status")

    def watch(self, document_id: str, on_away: Callable[[str], None]) -> Iterator[Status]:
        """The document's status each time it changes, until it has ended.

        A server that does not answer is asked again, with growing pauses; `on_away` is told once
        per outage.
        """
        tag, pause, away = "", FIRST_PAUSE_SECONDS, False
        while True:
            try:
                answer = self._send(
                    "GET",
                    f"/documents/{document_id}/status",
                    headers={"Prefer": f"wait={WAIT_SECONDS}", "If-None-Match": tag},
                )
            except Unreachable as error:
                if not away:
                    on_away(str(error))
                away = True
                time.sleep(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
                continue
            pause, away = FIRST_PAUSE_SECONDS, False
            if answer.status_code == httpx2.codes.NOT_MODIFIED:
                continue
            tag = answer.headers["etag"]
            status: Status = answer.json()
            yield status
            if status["done"]:
                return

    def list_documents(self, limit: int, status: str | None, collection: str | None) -> Any:
        """The newest documents."""
        given = {"page_size": limit, "status": status, "collection": collection}
        params = {name: value for name, value in given.items() if value is not None}
        return self._json("GET", "/documents", params=params)

    def search(self, query: str, limit: int, mode: str, collection: str | None) -> Any:
        """The best passages for a query."""
        body = {"query": query, "limit": limit, "mode": mode, "collection": collection}
        return self._json("POST", "/search", json=body)

    def ask(self, document_id: str, what: str) -> Status:
        """Retry, cancel or reprocess a document; returns its status."""
        return self._status("POST", f"/documents/{document_id}/{what}")

    def delete(self, document_id: str) -> None:
        """Remove a document."""
        self._send("DELETE", f"/documents/{document_id}")

    def _status(self, method: str, path: str, **options: Any) -> Status:
        shape: Status = self._json(method, path, **options)
        return shape

    def _json(self, method: str, path: str, **options: Any) -> Any:
        return self._send(method, path, **options).json()

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise Unreachable(
                f"Nothing answers at {self.url} ({str(error) or type(error).__name__}). Is `docmill"
                " serve` running there? Another address is named by --url or DOCMILL_URL."
            ) from error
        if answer.is_success or answer.status_code == httpx2.codes.NOT_MODIFIED:
            return answer
        code, detail = _problem(answer)
        if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise Unreachable(f"{self.url} answers {answer.status_code}: {detail}")
        raise Refused(answer.status_code, code, detail)


def _problem(answer: httpx2.Response) -> tuple[str, str]:
    """Code and sentence of a problem; something else may answer at the address, too."""
    try:
        problem = answer.json()
        return str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return "NOT_DOCMILL", f"This is no answer of docmill: {answer.text[:200]!r}."


class MultipartFile:
    """A form with one file, read while it is sent: memory does not grow with the file."""

    def __init__(
        self, name: str, file: IO[bytes], size: int, fields: dict[str, str], on_bytes: OnBytes
    ) -> None:
        self._file = file
        self._on_bytes = on_bytes
        boundary = uuid4().hex
        self._head = b"".join(
            _part(boundary, f'name="{field}"') + value.encode() + b"\r\n"
            for field, value in fields.items()
        ) + _part(boundary, f'name="file"; filename="{_quoted(name)}"', _type(name))
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + size + len(self._tail)),
        }

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        sent = 0
        while piece := self._file.read(READ_BYTES):
            yield piece
            sent += len(piece)
            self._on_bytes(sent)
        yield self._tail


def _part(boundary: str, disposition: str, kind: str = "") -> bytes:
    lines = [f"--{boundary}", f"Content-Disposition: form-data; {disposition}"]
    lines += [f"Content-Type: {kind}"] if kind else []
    return "\r\n".join([*lines, "", ""]).encode()


def _type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _quoted(name: str) -> str:
    """As browsers do it (WHATWG): a quote and line ends are percent-encoded."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
