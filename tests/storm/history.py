"""What every client asked and was told, in order: the evidence that the checker reads."""

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer, with monotonic times; no `status`: no whole answer came.

    `content` is the SHA-256 of what an upload sent.
    """

    client: int
    began: float
    ended: float
    action: str
    document: str | None
    status: int | None
    body: dict[str, Any] | None = None
    retry_after: str | None = None
    content: str | None = None
    headers: dict[str, str] | None = None


class History:
    """Every exchange and every fault, kept in memory and line by line in a file.

    `lies` are what a client saw at once to be untrue.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exchanges: list[Exchange] = []
        self.faults: list[tuple[float, str]] = []
        self.lies: list[str] = []
        self._lock = threading.Lock()
        self._file = path.open("w", encoding="utf-8")

    def add(self, exchange: Exchange) -> None:
        with self._lock:
            self.exchanges.append(exchange)
            self._write(asdict(exchange))

    def add_fault(self, at: float, what: str) -> None:
        with self._lock:
            self.faults.append((at, what))
            self._write({"at": at, "fault": what})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
