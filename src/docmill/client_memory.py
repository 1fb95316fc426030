"""Where a client remembers the uploads it has begun, so that another run can go on with them."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

MOST_REMEMBERED = 1000


class UploadMemory(Protocol):
    """Which upload a file was begun as: by a fingerprint of the file and the server."""

    def recall(self, fingerprint: str) -> str | None:
        """The upload's path at the server, if there is one."""

    def remember(self, fingerprint: str, where: str) -> None:
        """Keep it."""

    def forget(self, fingerprint: str) -> None:
        """The upload is finished, or gone."""


class NoMemory:
    """Remembers nothing: an upload ends with the object that sends it."""

    def recall(self, fingerprint: str) -> str | None:
        """Nothing."""

    def remember(self, fingerprint: str, where: str) -> None:
        """Do nothing."""

    def forget(self, fingerprint: str) -> None:
        """Do nothing."""


class FileMemory:
    """Remembers in a JSON file of the user's; several programs may use it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def recall(self, fingerprint: str) -> str | None:
        """The upload's path at the server, if there is one."""
        with self._opened() as uploads:
            return uploads.get(fingerprint)

    def remember(self, fingerprint: str, where: str) -> None:
        """Keep it; the oldest of very many are dropped."""
        with self._opened() as uploads:
            uploads[fingerprint] = where
            for oldest in list(uploads)[:-MOST_REMEMBERED]:
                del uploads[oldest]

    def forget(self, fingerprint: str) -> None:
        """The upload is finished, or gone."""
        with self._opened() as uploads:
            uploads.pop(fingerprint, None)

    @contextmanager
    def _opened(self) -> Iterator[dict[str, str]]:
        """What is remembered, under a lock; what the block changes is kept."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            before = file.read()
            uploads = _parsed(before)
            yield uploads
            after = json.dumps(uploads)
            if after != before:
                file.seek(0)
                file.truncate()
                file.write(after)


def default_path() -> Path:
    """A file in the user's folder for caches."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "docmill" / "uploads.json"


def _parsed(text: str) -> dict[str, str]:
    """A memory that can't be read is an empty one: files are sent from their beginning."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
