"""Receive a file in one request: bytes are kept as they come, then one commit makes it a document.

Memory is one part (1 MiB) per upload, whatever the size. A file that fits in one part touches the
database once: bytes, document and first job are a single transaction. The parts of a larger one are
committed one by one, under a row of `files` that has no hash yet and that nobody sees before the
one commit that completes it: a transaction that stayed open for an hour-long upload would hold a
connection, and would keep every dead row of the queue from being vacuumed. What is left of uploads
that were cut off goes by itself (`retention.py`).
"""

import hashlib
from collections.abc import Awaitable, Callable
from uuid import UUID

from docmill import accepting
from docmill.accepting import COLLISIONS, TRIES, Accepted, Limits, NewDocument, Received
from docmill.database import ApiDatabase, Async

PART_BYTES = 1 << 20

Within = Callable[[Async, Accepted], Awaitable[None]]
Beside = Callable[[Async], Awaitable[None]]


async def nothing_else(*_: object) -> None:
    """Nothing more belongs to the transaction."""


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

    @property
    def sha256(self) -> bytes:
        """The digest of what has come so far."""
        return self._hash.digest()

    async def write(self, data: bytes) -> None:
        """Take some more bytes, and keep each part that is full.

        Raises:
            Problem: FILE_TOO_LARGE.
        """
        self.size += len(data)
        if self.size > self._limits.max_bytes:
            raise accepting.too_large(self._limits.max_bytes)
        self._hash.update(data)
        self._buffer += data
        while len(self._buffer) > PART_BYTES:
            part = bytes(self._buffer[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            await self._keep(part)

    async def commit_new(self, document: NewDocument) -> Accepted | None:
        """Make bytes that nobody has sent before a document, the shortest way; else do nothing.

        None: it takes `commit`.
        """
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
            Problem: FILE_EMPTY, DUPLICATE, QUOTA_EXCEEDED.
        """
        for _ in range(TRIES - 1):
            try:
                return await self._commit_once(document, within)
            except COLLISIONS:
                continue
        return await self._commit_once(document, within)

    async def abandon(self) -> None:
        """Leave nothing behind."""
        if self._file_id is not None:
            async with self._database.commit(self._owner, "forget_upload") as connection:
                await connection.execute(
                    accepting.STATEMENTS.forget_file, {"file_id": self._file_id}
                )

    async def _keep(self, part: bytes) -> None:
        accepting.refuse_without_room(len(part), self._limits)
        async with self._database.commit(self._owner, "keep_part") as connection:
            file_id = self._file_id
            if file_id is None:
                file_id = await accepting.begin_file(connection)
            await accepting.keep_part(connection, file_id, self._position, part)
            await self._beside(connection)
        self._file_id = file_id
        self._position += len(part)

    async def _commit_once(self, document: NewDocument, within: Within) -> Accepted:
        async with self._database.commit(self._owner, "accept_document") as connection:
            accepted = await accepting.accept(connection, self._received(), document, self._limits)
            await within(connection, accepted)
        return accepted

    def _received(self) -> Received:
        return Received(self.size, self.sha256, self._file_id, self._position, bytes(self._buffer))
