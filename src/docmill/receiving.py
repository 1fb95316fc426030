"""Receive a file in one request: bytes are kept as they come, then one commit makes it a document.

Memory is a few parts (1 MiB each) per upload, whatever the size: some come in while those before
them are committed, and what has come meanwhile is the next commit. A file that fits in one part
touches the database once: bytes, document and first job are a single transaction. The parts of a
larger one are committed as they come, under a row of `files` that has no hash yet and that nobody
sees before the one commit that completes it: a transaction that stayed open for an hour-long upload
would hold a connection, and would keep every dead row of the queue from being vacuumed. What is
left of uploads that were cut off goes by itself (`retention.py`).
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from uuid import UUID

from docmill import accepting
from docmill.accepting import COLLISIONS, TRIES, Accepted, Limits, NewDocument, Received
from docmill.database import ApiDatabase, Async

PART_BYTES = 1 << 20
# A client that is faster than the database is held up when so many have come during a commit.
PARTS_AHEAD = 4

Within = Callable[[Async, Accepted], Awaitable[None]]
Beside = Callable[[Async], Awaitable[None]]


async def nothing_else(*_: object) -> None:
    """Nothing more belongs to the transaction."""


class Behind:
    """One piece of work that goes on while more bytes come in; the next one waits for its end."""

    def __init__(self) -> None:
        self._work: asyncio.Task[None] | None = None

    @property
    def goes_on(self) -> bool:
        """Whether some work is not through."""
        return self._work is not None and not self._work.done()

    async def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin some work. Raises what the work before it raised."""
        try:
            await self.through()
        except BaseException:
            work.close()
            raise
        self._work = asyncio.create_task(work)

    async def through(self) -> None:
        """Wait until nothing goes on. Raises what the work raised, once.

        A request that is cancelled does not cancel the work: a commit is made or not, and whoever
        takes it back has to know.
        """
        if self._work is not None:
            try:
                await asyncio.shield(self._work)
            finally:
                if self._work.done():
                    self._work = None


class IncomingFile:
    """A file on its way in, for one owner. Ends with `commit` or `abandon`.

    `beside` is awaited in each transaction that keeps a part of it.
    """

    def __init__(
        self, database: ApiDatabase, owner: UUID, limits: Limits, beside: Beside = nothing_else
    ) -> None:
        self.size = 0
        self._beside = beside
        self._database = database
        self._owner = owner
        self._limits = limits
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self._position = 0
        self._file_id: UUID | None = None
        self._keeping = Behind()

    @property
    def sha256(self) -> bytes:
        """The digest of what has come so far."""
        return self._hash.digest()

    async def write(self, data: bytes) -> None:
        """Take some more bytes, and begin to keep each part that is full.

        Raises:
            Problem: FILE_TOO_LARGE, or what an earlier part was refused for.
        """
        self.size += len(data)
        if self.size > self._limits.max_bytes:
            raise accepting.too_large(self._limits.max_bytes)
        self._hash.update(data)
        self._buffer += data
        if self._full >= (PARTS_AHEAD if self._keeping.goes_on else 1):
            await self._keep_full()

    async def commit_new(self, document: NewDocument) -> Accepted | None:
        """Make bytes that are no document yet one, the shortest way; else do nothing.

        None: it takes `commit`.
        """
        if self.size > PART_BYTES:
            return None  # some of it is kept, or about to be, in parts of its own
        try:
            return await accepting.accept_new(
                self._database, self._owner, self._received(), document, self._limits
            )
        except COLLISIONS:
            return None

    async def commit(self, document: NewDocument, within: Within = nothing_else) -> Accepted:
        """Make the bytes a document with its first job, in one commit.

        `within` is awaited in that very transaction, for what belongs to it.

        Raises:
            Problem: FILE_EMPTY, DUPLICATE, QUOTA_EXCEEDED, or what the last part was refused for.
        """
        if self._full:
            await self._keep_full()
        await self._keeping.through()
        for _ in range(TRIES - 1):
            try:
                return await self._commit_once(document, within)
            except COLLISIONS:
                continue
        return await self._commit_once(document, within)

    async def abandon(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(Exception):  # it is raised where it is waited for first
            await self._keeping.through()
        if self._file_id is not None:
            async with self._database.commit(self._owner, "forget_upload") as connection:
                await connection.execute(
                    accepting.STATEMENTS.forget_file, {"file_id": self._file_id}
                )

    @property
    def _full(self) -> int:
        """How many parts have come whole. One byte at least is left for the last commit."""
        return max(0, len(self._buffer) - 1) // PART_BYTES

    async def _keep_full(self) -> None:
        """Begin to keep the parts that have come whole."""
        end = self._full * PART_BYTES
        with memoryview(self._buffer) as come:
            parts = [bytes(come[at : at + PART_BYTES]) for at in range(0, end, PART_BYTES)]
        del self._buffer[:end]
        await self._keeping.begin(self._keep(parts))

    async def _keep(self, parts: list[bytes]) -> None:
        accepting.refuse_without_room(len(parts) * PART_BYTES, self._limits)
        async with self._database.commit(self._owner, "keep_part") as connection:
            file_id = self._file_id
            if file_id is None:
                file_id = await accepting.begin_file(connection)
            await accepting.keep_parts(connection, file_id, self._position, parts)
            await self._beside(connection)
        self._file_id = file_id
        self._position += sum(map(len, parts))

    async def _commit_once(self, document: NewDocument, within: Within) -> Accepted:
        async with self._database.commit(self._owner, "accept_document") as connection:
            accepted = await accepting.accept(connection, self._received(), document, self._limits)
            await within(connection, accepted)
        return accepted

    def _received(self) -> Received:
        return Received(self.size, self.sha256, self._file_id, self._position, bytes(self._buffer))
