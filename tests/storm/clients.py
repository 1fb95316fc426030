"""Clients: what each uploads, looks at, cancels, retries, deletes and searches, its seed says."""

import base64
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from made_files import pdf
from storm.history import Exchange, History

TIMEOUT_SECONDS = 20.0
MOST_DOCUMENTS = 12
WORDS = ("mill", "wheel", "river", "stone", "flour", "grain", "miller", "night", "rain", "sack")


def content(kind: str, salt: int) -> bytes:
    """The bytes of a document of some kind; equal salts give equal bytes."""
    words = f"{salt} " + " ".join(WORDS[(salt + n) % len(WORDS)] for n in range(12))
    return KINDS[kind](words)


KINDS: dict[str, Callable[[str], bytes]] = {
    "small.txt": str.encode,
    "long.txt": lambda words: "\n\n".join(f"{n}. {words * 6}" for n in range(120)).encode(),
    "large.txt": lambda words: f"{words}\n".encode() * 30_000,
    "short.pdf": lambda words: pdf(*(f"{n} {words}" for n in range(30))),
    "long.pdf": lambda words: pdf(*(f"{n} {words}" for n in range(230))),
    "blank.pdf": lambda words: pdf("") + f"\n% {words}\n".encode(),
    "broken.pdf": lambda words: f"%PDF-1.7\nbroken {words}".encode(),
}
HOW_OFTEN = (8, 4, 1, 4, 2, 1, 2)
ACTIONS = {"upload": 4, "status": 14, "cancel": 1, "retry": 1, "reprocess": 1, "delete": 1,
           "search": 2, "cut off": 1, "slice": 8}  # fmt: skip


TUS = {"Tus-Resumable": "1.0.0"}
SLICE = {**TUS, "Content-Type": "application/offset+octet-stream"}


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Slices:
    """A resumable upload: where it is, what is to be sent, how much was acknowledged."""

    where: str
    data: bytes
    acknowledged: int = 0


class Client(threading.Thread):
    """One user. Nobody else touches its documents, so the order of what it was told is known."""

    def __init__(self, number: int, port: int, rng: random.Random, history: History) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.number = number
        self.documents: list[str] = []
        self._port = port
        self._rng = rng
        self._history = history
        self._ended = threading.Event()
        self._actions = {
            "upload": self._upload,
            "status": self._status,
            "search": self._search,
            "cut off": self._cut_off,
            "slice": self._slice,
        }
        self._upload_in_slices: Slices | None = None

    def stop(self) -> None:
        self._ended.set()

    def run(self) -> None:
        while not self._ended.wait(self._rng.uniform(0.0, 0.1)):
            action = self._rng.choices([*ACTIONS], [*ACTIONS.values()])[0]
            if action in self._actions:
                self._actions[action]()
            elif self.documents:
                self._change(action)

    def _upload(self) -> None:
        if len(self.documents) >= MOST_DOCUMENTS:
            return
        kind = self._rng.choices([*KINDS], HOW_OFTEN)[0]
        salt = self._rng.randrange(6)
        files = {"file": (kind, content(kind, salt))}
        # A collection of one's own: what others sent is no duplicate.
        done = self._ask(
            "upload", "POST", "/documents", told=hashed(files["file"][1]), files=files,
            data={"collection": f"of client {self.number}"},
        )  # fmt: skip
        if done.document and done.document not in self.documents:
            self.documents.append(done.document)

    def _status(self) -> None:
        if self.documents:
            document = self._rng.choice(self.documents)
            self._ask("status", "GET", f"/documents/{document}/status", document)

    def _change(self, action: str) -> None:
        document = self._rng.choice(self.documents)
        if action == "delete":
            done = self._ask("delete", "DELETE", f"/documents/{document}", document)
            if done.status in {204, 404}:
                self.documents.remove(document)
        else:
            self._ask(action, "POST", f"/documents/{document}/{action}", document)

    def _slice(self) -> None:
        """A step of a resumable upload: begin it, or ask how far it is and send some more."""
        if len(self.documents) >= MOST_DOCUMENTS:
            return
        if self._upload_in_slices is None:
            self._begin_slices()
        elif self._look_at(self._upload_in_slices):
            self._send_slice(self._upload_in_slices)

    def _begin_slices(self) -> None:
        kind = self._rng.choices([*KINDS], HOW_OFTEN)[0]
        data = content(kind, self._rng.randrange(6))
        said = {"filename": kind, "collection": f"of client {self.number}"}
        headers = {
            **TUS,
            "Upload-Length": str(len(data)),
            "Upload-Metadata": ",".join(
                f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items()
            ),
        }
        done = self._ask("slice", "POST", "/uploads", headers=headers)
        if done.status == 201 and done.headers:
            self._upload_in_slices = Slices(done.headers["location"], data)

    def _look_at(self, upload: "Slices") -> bool:
        done = self._ask("slice", "HEAD", upload.where, headers=TUS)
        if done.status != 200 or done.headers is None:
            return False
        offset = int(done.headers["upload-offset"])
        if offset < upload.acknowledged:
            self._history.lies.append(f"{upload.where} was at {upload.acknowledged}, now {offset}")
        upload.acknowledged = offset
        return not self._is_finished(upload, done)

    def _send_slice(self, upload: "Slices") -> None:
        size = self._rng.randrange(1, 1 + max(1000, len(upload.data) // 2))
        piece = upload.data[upload.acknowledged : upload.acknowledged + size]
        headers = {**SLICE, "Upload-Offset": str(upload.acknowledged)}
        done = self._ask("slice", "PATCH", upload.where, headers=headers, content=piece)
        if done.status == 204 and done.headers:
            upload.acknowledged = int(done.headers["upload-offset"])
            self._is_finished(upload, done)

    def _is_finished(self, upload: "Slices", done: Exchange) -> bool:
        document = (done.headers or {}).get("docmill-document-id")
        if document is None:
            return False
        self._upload_in_slices = None
        told = Exchange(
            self.number, done.began, done.ended, "upload", document, 202, None, None,
            hashed(upload.data),
        )  # fmt: skip
        self._history.add(told)
        if document not in self.documents:
            self.documents.append(document)
        return True

    def _search(self) -> None:
        self._ask("search", "POST", "/search", json={"query": self._rng.choice(WORDS)})

    def _cut_off(self) -> None:
        """An upload whose sender goes away in the middle."""

        def body() -> Iterator[bytes]:
            yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
            yield b"x" * self._rng.randrange(1, 3 << 20)
            raise ConnectionAbortedError

        headers = {"content-type": "multipart/form-data; boundary=b"}
        try:
            self._ask("cut off", "POST", "/documents", content=body(), headers=headers)
        except ConnectionAbortedError:
            return

    def _ask(
        self,
        action: str,
        method: str,
        path: str,
        document: str | None = None,
        *,
        told: str | None = None,
        **sent: Any,
    ) -> Exchange:
        began = time.monotonic()
        status, body, retry_after, received = None, None, None, None
        try:
            answer = httpx2.request(
                method, f"http://127.0.0.1:{self._port}{path}", timeout=TIMEOUT_SECONDS, **sent
            )
            status, retry_after = answer.status_code, answer.headers.get("retry-after")
            body = answer.json() if answer.content else None
            received = dict(answer.headers)
        except (httpx2.HTTPError, ValueError):
            status = None
        if action == "upload" and body and status in {200, 202}:
            document = body["document_id"]
        done = Exchange(
            self.number, began, time.monotonic(), action, document, status,
            body if action != "search" else None, retry_after, told, received,
        )  # fmt: skip
        self._history.add(done)
        return done
