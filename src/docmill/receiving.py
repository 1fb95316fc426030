"""Receive a file: bytes go into the database as they come, then one commit makes it a document.

Memory is one part (1 MiB) per upload, whatever the size. A file that fits in one part touches the
database once: bytes, document and first job are a single transaction.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from docmill import job_queue
from docmill.database import ApiDatabase, Async, Row, Statements, Sync
from docmill.errors import Problem
from docmill.lifecycle import PRIORITIES

STATEMENTS = Statements("receiving")

PART_BYTES = 1 << 20
# How long an upload's parts are kept without a further one. The upload itself is given up much
# earlier; this is for those whose server died, and generous so that a slow disk loses nothing.
PATIENCE_SECONDS = 600.0
COMMIT_TRIES = 3


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What the sender says about the file."""

    filename: str
    collection: str | None = None
    external_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    priority: str = "normal"


class IncomingFile:
    """A file on its way in, for one owner. Ends with `commit` or `abandon`."""

    def __init__(self, database: ApiDatabase, owner: UUID, max_bytes: int) -> None:
        self.size = 0
        self._database = database
        self._owner = owner
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self._position = 0
        self._file_id: UUID | None = None

    async def write(self, data: bytes) -> None:
        """Take some more bytes, and keep each part that is full.

        Raises:
            Problem: FILE_TOO_LARGE.
        """
        self.size += len(data)
        if self.size > self._max_bytes:
            raise too_large(self._max_bytes)
        self._hash.update(data)
        self._buffer += data
        while len(self._buffer) > PART_BYTES:
            part = bytes(self._buffer[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            await self._keep(part)

    async def commit(self, document: NewDocument, max_attempts: int) -> Row:
        """Make the bytes a document with its first job, in one commit; returns its `id`.

        Raises:
            Problem: FILE_EMPTY.
        """
        if self.size == 0:
            raise Problem(
                "FILE_EMPTY", f"{document.filename} has no bytes. Choose a file that is not empty."
            )
        for _ in range(COMMIT_TRIES - 1):
            try:
                return await self._commit_once(document, max_attempts)
            except (psycopg.errors.UniqueViolation, psycopg.errors.ForeignKeyViolation):
                # The same bytes were completed by another upload, or deleted with their last
                # document, at this very moment. Look again.
                continue
        return await self._commit_once(document, max_attempts)

    async def abandon(self) -> None:
        """Leave nothing behind."""
        if self._file_id is not None:
            async with self._database.commit(self._owner, "forget_upload") as connection:
                await connection.execute(STATEMENTS.forget_file, {"file_id": self._file_id})

    async def _keep(self, part: bytes) -> None:
        async with self._database.commit(self._owner, "keep_part") as connection:
            file_id = self._file_id or await _begin(connection)
            await self._insert_part(connection, file_id, part)
        self._file_id = file_id
        self._position += len(part)

    async def _insert_part(self, connection: Async, file_id: UUID, part: bytes) -> None:
        cursor = await connection.execute(
            STATEMENTS.keep_part,
            {
                "file_id": file_id,
                "position": self._position,
                "data": part,
                "patience": PATIENCE_SECONDS,
            },
        )
        if await cursor.fetchone() is None:
            raise Problem("UPLOAD_CUT_OFF", "The upload paused for too long. Send it again.")

    async def _commit_once(self, document: NewDocument, max_attempts: int) -> Row:
        async with self._database.commit(self._owner, "accept_document") as connection:
            file_id = await self._complete(connection)
            row = await _add_document(connection, file_id, document)
            await connection.execute(
                STATEMENTS.add_first_job,
                {
                    "document_id": row["id"],
                    "priority": PRIORITIES[document.priority],
                    "max_attempts": max_attempts,
                },
            )
            await connection.execute(job_queue.STATEMENTS.wake_workers)
        return row

    async def _complete(self, connection: Async) -> UUID:
        """The id of a complete file with these bytes: one that is here already, or ours."""
        digest = self._hash.digest()
        known = await _one(connection, STATEMENTS.find_content, {"sha256": digest})
        if known is not None:
            if self._file_id is not None:
                await connection.execute(STATEMENTS.forget_file, {"file_id": self._file_id})
            return UUID(str(known["id"]))
        file_id = self._file_id or await _begin(connection)
        await self._insert_part(connection, file_id, bytes(self._buffer))
        await connection.execute(
            STATEMENTS.complete_file, {"file_id": file_id, "sha256": digest, "size": self.size}
        )
        return file_id


def too_large(max_bytes: int) -> Problem:
    """The refusal of a file above the limit."""
    return Problem(
        "FILE_TOO_LARGE",
        f"The file is larger than {max_bytes:,} bytes, the most this server takes. Split it, or"
        " ask the server's operator to raise DOCMILL_MAX_UPLOAD_BYTES.",
        max_size=max_bytes,
    )


def prune(connection: Sync) -> None:
    """Drop the parts of uploads that were cut off together with their server."""
    connection.execute(STATEMENTS.prune)


async def _begin(connection: Async) -> UUID:
    row = await _one(connection, STATEMENTS.begin_file, {"patience": PATIENCE_SECONDS})
    return UUID(str(row["id"])) if row else UUID(int=0)


async def _add_document(connection: Async, file_id: UUID, document: NewDocument) -> Row:
    collection_id = None
    if document.collection is not None:
        name = {"name": document.collection}
        await connection.execute(STATEMENTS.add_collection, name)
        collection = await _one(connection, STATEMENTS.find_collection, name)
        collection_id = collection["id"] if collection else None
    row = await _one(
        connection,
        STATEMENTS.add_document,
        {
            "file_id": file_id,
            "collection_id": collection_id,
            "filename": document.filename,
            "external_id": document.external_id,
            "metadata": Jsonb(document.metadata),
            "priority": PRIORITIES[document.priority],
        },
    )
    assert row is not None  # noqa: S101 - an insert that returned nothing would have raised
    return row


async def _one(connection: Async, statement: bytes, parameters: dict[str, Any]) -> Row | None:
    cursor = await connection.execute(statement, parameters)
    return await cursor.fetchone()
