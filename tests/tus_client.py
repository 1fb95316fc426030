"""A small client of tus for tests: whatever happens, it asks how far the upload is and goes on."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2

TUS = {"Tus-Resumable": "1.0.0"}
SLICE = {**TUS, "Content-Type": "application/offset+octet-stream"}
PAUSE_SECONDS = 0.1
PATIENCE_SECONDS = 90.0


@dataclass
class TusClient:
    """Sends a file to whichever server `url` names at the moment, in slices of so many bytes."""

    url: Callable[[], str]
    content: bytes
    name: str
    slice_bytes: int = 1 << 40
    acknowledged: int = 0
    where: str | None = None
    document_id: str | None = None
    trouble: list[str] = field(default_factory=list)

    def send(self) -> str:
        """Send everything; the document's id."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while self.document_id is None:
            assert time.monotonic() < ends, self.trouble
            try:
                self._step()
            except httpx2.HTTPError as error:
                self.trouble.append(repr(error))
                time.sleep(PAUSE_SECONDS)
        return self.document_id

    def _step(self) -> None:
        if self.where is None:
            self._create()
        else:
            self._look()
            while self.document_id is None and self._patch():
                pass

    def _create(self) -> None:
        name = base64.b64encode(self.name.encode()).decode()
        headers = {**TUS, "Upload-Length": str(len(self.content)),
                   "Upload-Metadata": f"filename {name}"}  # fmt: skip
        answer = self._ask("POST", "/uploads", headers)
        if answer.status_code == 201:
            self.where = answer.headers["location"]

    def _look(self) -> None:
        assert self.where is not None
        answer = self._ask("HEAD", self.where, TUS)
        if answer.status_code != 200:
            assert answer.status_code == 423, f"HEAD was answered {answer.status_code}"
            time.sleep(PAUSE_SECONDS)
            return
        offset = int(answer.headers["upload-offset"])
        assert offset >= self.acknowledged, "what was acknowledged is gone"
        self.acknowledged = offset
        self.document_id = answer.headers.get("docmill-document-id")

    def _patch(self) -> bool:
        """Send a slice; whether it is worth going on without asking."""
        assert self.where is not None
        piece = self.content[self.acknowledged : self.acknowledged + self.slice_bytes]
        headers = {**SLICE, "Upload-Offset": str(self.acknowledged)}
        answer = self._ask("PATCH", self.where, headers, piece)
        if answer.status_code != 204:
            assert answer.status_code in {409, 423, 500}, answer.text
            time.sleep(PAUSE_SECONDS)
            return False
        self.acknowledged = int(answer.headers["upload-offset"])
        self.document_id = answer.headers.get("docmill-document-id")
        return True

    def _ask(
        self, method: str, path: str, headers: dict[str, str], content: bytes = b""
    ) -> httpx2.Response:
        answer = httpx2.request(
            method, self.url() + path, headers=headers, content=content, timeout=30
        )
        if answer.status_code >= 400:
            self.trouble.append(f"{method}: {answer.status_code}")
        return answer
