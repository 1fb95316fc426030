"""Local copies of the files that parsers read: a parser gets an open file and knows no database.

A copy is kept for a while after its use, because the page ranges of one document are jobs of their
own and usually come to the same worker. It has no name, so nothing is left of it however the worker
ends.
"""

import errno
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from typing import IO
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from docmill import documents
from docmill.database import WorkerDatabase
from docmill.errors import Failure

COPIES_KEPT = 2
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Copy:
    """A file's bytes on this machine, whole once `filled`; `users` read it now."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file  # the spool closes it
        self.filling = threading.Lock()
        self.filled = False
        self.users = 0

    def fill(self, parts: Iterable[bytes]) -> None:
        """Write the file's parts; who does it holds `filling`."""
        self.file.seek(0)
        self.file.truncate()  # a try before this one may have failed half-way
        for part in parts:
            write_whole(self.file, part)
        self.filled = True


def on_disk() -> IO[bytes]:
    """A file for any size. Unbuffered: what finds no room must not be tried again at the close."""
    return tempfile.TemporaryFile(prefix="docmill-", buffering=0)


def in_memory() -> IO[bytes]:
    """A file for few bytes. ext4 takes longer to find a free inode than a parser reads a page."""
    if not hasattr(os, "memfd_create"):  # not on macOS
        return on_disk()
    return os.fdopen(os.memfd_create("docmill", os.MFD_CLOEXEC), "w+b", buffering=0)


class Spool:
    """The files in use and the few last used, for all threads of a worker."""

    def __init__(self, database: WorkerDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._copies: OrderedDict[UUID, Copy] = OrderedDict()

    @contextmanager
    def file(self, file_id: UUID) -> Iterator[IO[bytes]]:
        """A local copy, open until the block ends. Others use it too: leave its position alone."""
        copy = self._take(file_id)
        try:
            with copy.filling:
                if not copy.filled:
                    self._fill(copy, file_id)
            yield copy.file
        finally:
            self._leave(copy)

    @contextmanager
    def files(self, file_ids: Sequence[UUID]) -> Iterator[None]:
        """Copies of small files, fetched with one look and kept until the block ends.

        What could not be fetched is not missed here: `file` tries again, and says what is wrong.
        """
        copies = {file_id: self._take(file_id, in_memory) for file_id in set(file_ids)}
        try:
            if copies:
                with suppress(psycopg.OperationalError, PoolTimeout, OSError):
                    self._fill_together(copies)
            yield
        finally:
            for copy in copies.values():
                self._leave(copy)

    def close(self) -> None:
        """Let go of all copies."""
        for copy in self._copies.values():
            copy.file.close()
        self._copies.clear()

    def _take(self, file_id: UUID, make: Callable[[], IO[bytes]] = on_disk) -> Copy:
        with self._lock:
            if file_id not in self._copies:
                self._copies[file_id] = Copy(make())
            self._copies.move_to_end(file_id)
            copy = self._copies[file_id]
            copy.users += 1
            return copy

    def _fill(self, copy: Copy, file_id: UUID) -> None:
        try:
            copy.fill(documents.read_file(self._database, file_id))
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise Failure(
                "STORAGE_FULL", "A worker's folder for temporary files is full."
            ) from error

    def _fill_together(self, copies: dict[UUID, Copy]) -> None:
        with ExitStack() as filling:
            empty = {}
            for file_id, copy in copies.items():
                if copy.filling.acquire(blocking=False):  # else somebody fills it already
                    filling.callback(copy.filling.release)
                    if not copy.filled:
                        empty[file_id] = copy
            parts = documents.read_small_files(self._database, list(empty))
            for file_id, several in groupby(parts, key=itemgetter(0)):
                empty[file_id].fill(data for _, data in several)

    def _leave(self, copy: Copy) -> None:
        with self._lock:
            copy.users -= 1
            if copy.users:
                return  # nothing is left alone by this; a group leaves its files one by one
            unused = [key for key, kept in self._copies.items() if not kept.users]
            for key in unused[: max(0, len(self._copies) - COPIES_KEPT)]:
                self._copies.pop(key).file.close()


def write_whole(file: IO[bytes], data: bytes) -> None:
    """Write all of it; an unbuffered file may take only a part at once."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
