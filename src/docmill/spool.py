"""Local copies of the files that parsers read: a parser opens a path and knows no database.

A copy is kept for a while after its use, because the page ranges of one document are jobs of their
own and usually come to the same worker.
"""

import logging
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from docmill import documents
from docmill.database import WorkerDatabase

log = logging.getLogger(__name__)

COPIES_KEPT = 2


class Spool:
    """A private folder with the files in use and the few last used, for all threads of a worker."""

    def __init__(self, database: WorkerDatabase) -> None:
        self._database = database
        self._folder = Path(tempfile.mkdtemp(prefix="docmill-spool-"))
        self._lock = threading.Lock()
        self._copies: OrderedDict[UUID, threading.Lock] = OrderedDict()
        self._users: dict[UUID, int] = {}

    @contextmanager
    def file(self, file_id: UUID) -> Iterator[Path]:
        """The path of a local copy, there until the block ends."""
        path = self._folder / file_id.hex
        with self._lock:
            filling = self._copies.setdefault(file_id, threading.Lock())
            self._copies.move_to_end(file_id)
            self._users[file_id] = self._users.get(file_id, 0) + 1
        try:
            with filling:
                if not path.exists():
                    self._fill(path, file_id)
            yield path
        finally:
            self._leave(file_id)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _fill(self, path: Path, file_id: UUID) -> None:
        """Write under another name first, so that a path that exists is a whole file."""
        partial = path.with_suffix(".partial")
        with partial.open("wb") as copy:
            for part in documents.read_file(self._database, file_id):
                copy.write(part)
        partial.rename(path)

    def _leave(self, file_id: UUID) -> None:
        with self._lock:
            self._users[file_id] -= 1
            unused = [copy for copy in self._copies if not self._users.get(copy)]
            for copy in unused[: max(0, len(self._copies) - COPIES_KEPT)]:
                del self._copies[copy]
                self._users.pop(copy, None)
                with suppress(FileNotFoundError):
                    (self._folder / copy.hex).unlink()
