"""Uploads that go on after a cut: one file in as many requests as the network needs.

An offset that was acknowledged is committed bytes, always. The newest request holds the upload; an
older one, whose connection may be long dead, is asked to leave and can't write any more. The last
bytes, the document and its first job are one commit, so an upload is unfinished or a document.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from docmill import accepting
from docmill.accepting import COLLISIONS, TRIES, Limits, NewDocument, Received
from docmill.database import ApiDatabase, Async, Row, Statements, one
from docmill.digests import Digests
from docmill.errors import Problem

if TYPE_CHECKING:
    from hashlib import _Hash

log = logging.getLogger(__name__)

STATEMENTS = Statements("uploads")

PART_BYTES = 1 << 20
# A request that is asked to leave keeps what it has and goes; one that can't is overtaken.
LEAVE_SECONDS = 2.0
DIGESTS_KEPT = 256


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as it was committed. `length` is None as long as the sender has not said it."""

    id: UUID
    file_id: UUID | None
    length: int | None
    received: int
    said: NewDocument
    metadata: str
    document_id: UUID | None
    outcome: str | None
    expires_at: datetime


class Uploads:
    """All uploads of a service: who holds which in this process, and their digests so far."""

    def __init__(self, database: ApiDatabase, limits: Limits, expiry_seconds: float) -> None:
        self.database = database
        self.limits = limits
        self.expiry_seconds = expiry_seconds
        self.digests = RunningDigests()
        self._holding: dict[UUID, Holding] = {}

    async def create(
        self, owner: UUID, length: int | None, said: NewDocument, metadata: str
    ) -> "Slice":
        """Begin an upload, held by the request that begins it.

        Raises:
            Problem: QUOTA_EXCEEDED.
        """
        holder = uuid4()
        async with self.database.commit(owner, "create_upload") as connection:
            await accepting.refuse_over_quota(connection, length or 0, self.limits)
            accepting.refuse_without_room(length or 0, self.limits)
            file_id = await accepting.begin_file(connection)
            await connection.execute(STATEMENTS.hold_file, {"file_id": file_id})
            row = await one(
                connection,
                STATEMENTS.create,
                {
                    "file_id": file_id,
                    "length": length,
                    "said": Jsonb(asdict(said)),
                    "metadata": metadata,
                    "holder": holder,
                    "expiry": self.expiry_seconds,
                },
            )
        assert row is not None  # noqa: S101 - an insert that returned nothing would have raised
        upload = Upload(
            row["id"], file_id, length, 0, said, metadata, None, None, row["expires_at"]
        )
        return self._held(owner, upload, holder)

    async def look(self, owner: UUID, upload_id: UUID) -> Upload:
        """How far an upload is. Who holds it is asked to leave first: so far it is, and stays.

        Raises:
            Problem: NOT_FOUND, UPLOAD_EXPIRED.
        """
        await self._ask_to_leave(upload_id)
        async with self.database.commit(owner, "leave_upload") as connection:
            await connection.execute(STATEMENTS.leave, {"id": upload_id})
            return await _find(connection, upload_id)

    async def take(
        self, owner: UUID, upload_id: UUID, offset: int, length: int | None
    ) -> "Slice | Upload":
        """Hold an upload from an offset on; an upload that is a document already is only shown.

        Raises:
            Problem: NOT_FOUND, UPLOAD_EXPIRED, UPLOAD_OFFSET_WRONG, UPLOAD_HEADER_INVALID.
        """
        await self._ask_to_leave(upload_id)
        holder = uuid4()
        async with self.database.commit(owner, "take_upload") as connection:
            row = await one(
                connection,
                STATEMENTS.take,
                {
                    "id": upload_id,
                    "holder": holder,
                    "length": length,
                    "expiry": self.expiry_seconds,
                },
            )
            found = _upload(row) if row else await _find(connection, upload_id)
            upload = replace(found, length=found.length or length)
            if upload.received != offset:
                raise wrong_offset(upload.received)
            if row is None and upload.document_id is None:
                raise Problem(
                    "UPLOAD_HEADER_INVALID",
                    f"Upload-Length was {upload.length} before, and can't become another one.",
                )
            which = {"file_id": upload.file_id, "received": upload.received}
            await connection.execute(STATEMENTS.drop_unconfirmed, which)
        return self._held(owner, upload, holder) if row else upload

    async def end(self, owner: UUID, upload_id: UUID) -> None:
        """Give an upload up. A document that it has become stays.

        Raises:
            Problem: NOT_FOUND, UPLOAD_EXPIRED.
        """
        await self._ask_to_leave(upload_id)
        async with self.database.commit(owner, "end_upload") as connection:
            await _find(connection, upload_id)
            await connection.execute(STATEMENTS.end, {"id": upload_id})
        self.digests.forget(upload_id)

    def _held(self, owner: UUID, upload: Upload, holder: UUID) -> "Slice":
        holding = self._holding[upload.id] = Holding()
        return Slice(self, owner, upload, holder, holding)

    async def _ask_to_leave(self, upload_id: UUID) -> None:
        if holding := self._holding.get(upload_id):
            holding.leave.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(holding.left.wait(), LEAVE_SECONDS)

    def let_go(self, upload_id: UUID, holding: "Holding") -> None:
        """A request is through with an upload."""
        holding.left.set()
        if self._holding.get(upload_id) is holding:
            del self._holding[upload_id]


class Holding:
    """A request of this process that holds an upload, and the way to ask it to leave."""

    def __init__(self) -> None:
        self.leave = asyncio.Event()
        self.left = asyncio.Event()


class Slice:
    """The bytes of one request. Ends with `end` or `stop`; `close` in any case."""

    def __init__(
        self, uploads: Uploads, owner: UUID, upload: Upload, holder: UUID, holding: Holding
    ) -> None:
        self.upload = upload
        self.received = upload.received
        self.expires_at = upload.expires_at
        self.leave = holding.leave
        self.checksum = Digests()
        self._uploads = uploads
        self._owner = owner
        self._holder = holder
        self._holding = holding
        self._buffer = bytearray()
        self._unconfirmed = 0

    def close(self) -> None:
        """The request is over."""
        self._uploads.let_go(self.upload.id, self._holding)

    async def write(self, data: bytes) -> None:
        """Take some more bytes, and keep each part that is full.

        Raises:
            Problem: UPLOAD_TOO_LONG, FILE_TOO_LARGE, UPLOAD_TAKEN_OVER.
        """
        self.refuse_more_than(self._place + len(self._buffer) + len(data))
        self.checksum.update(data)
        self._buffer += data
        while len(self._buffer) > PART_BYTES:
            part = bytes(self._buffer[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            await self._keep(part)

    async def end(self) -> Upload:
        """The request has ended as it should: keep the rest, and make a whole file a document.

        Raises:
            Problem: UPLOAD_CHECKSUM_MISMATCH, UPLOAD_TAKEN_OVER, DUPLICATE, QUOTA_EXCEEDED.
        """
        if not self.checksum.hold():
            raise Problem(
                "UPLOAD_CHECKSUM_MISMATCH",
                "What arrived is not what Upload-Checksum is of. It was dropped; send it again.",
            )
        if self._place + len(self._buffer) == self.upload.length:
            return await self._become_document()
        await self._confirm()
        return self._shown(None, None)

    async def stop(self) -> None:
        """The request broke off, or was asked to leave: what came is kept, for it is as good.

        Not with a checksum that was never compared.
        """
        if not self.checksum and self._buffer:
            await self._confirm()

    def refuse_more_than(self, size: int) -> None:
        """Do nothing where so many bytes are no more than the upload, or any file, may have.

        Raises:
            Problem: UPLOAD_TOO_LONG, FILE_TOO_LARGE.
        """
        if self.upload.length is not None and size > self.upload.length:
            raise Problem("UPLOAD_TOO_LONG", f"Upload-Length is {self.upload.length:,}.")
        if size > self._uploads.limits.max_bytes:
            raise accepting.too_large(self._uploads.limits.max_bytes)

    @property
    def _place(self) -> int:
        """Where the next part begins."""
        return self.received + self._unconfirmed

    async def _keep(self, part: bytes) -> None:
        """Keep a part; without a checksum to wait for, it is acknowledged with that."""
        accepting.refuse_without_room(len(part), self._uploads.limits)
        before, place = self.received, self._place
        after = before if self.checksum else place + len(part)
        async with self._uploads.database.commit(self._owner, "keep_slice") as connection:
            await self._advance(connection, after)
            await self._add(connection, place, part)
        self._uploads.digests.update(self.upload.id, place, part)
        if self.checksum:
            self._unconfirmed += len(part)
        else:
            self.received = after

    async def _confirm(self) -> None:
        """Acknowledge everything that came with this request."""
        place, rest = self._place, bytes(self._buffer)
        after = place + len(rest)
        if after == self.received:
            return
        async with self._uploads.database.commit(self._owner, "confirm_slice") as connection:
            await self._advance(connection, after)
            if rest:
                await self._add(connection, place, rest)
        self._uploads.digests.update(self.upload.id, place, rest)
        self.received, self._unconfirmed = after, 0
        self._buffer.clear()

    async def _advance(self, connection: Async, after: int) -> None:
        row = await one(
            connection,
            STATEMENTS.advance,
            {
                "id": self.upload.id,
                "holder": self._holder,
                "before": self.received,
                "after": after,
                "expiry": self._uploads.expiry_seconds,
            },
        )
        if row is None:
            raise taken_over()
        self.expires_at = row["expires_at"]

    async def _add(self, connection: Async, position: int, data: bytes) -> None:
        await connection.execute(
            STATEMENTS.add_part,
            {"file_id": self.upload.file_id, "position": position, "data": data},
        )

    # the end of the upload ---------------------------------------------------------------

    async def _become_document(self) -> Upload:
        sha256 = await self._sha256()
        for _ in range(TRIES - 1):
            try:
                return await self._become_document_once(sha256)
            except COLLISIONS:
                continue
        return await self._become_document_once(sha256)

    async def _become_document_once(self, sha256: bytes) -> Upload:
        size = self._place + len(self._buffer)
        received = Received(size, sha256, self.upload.file_id, self._place, bytes(self._buffer))
        async with self._uploads.database.commit(self._owner, "finish_upload") as connection:
            held = {"id": self.upload.id, "holder": self._holder, "before": self.received}
            if await one(connection, STATEMENTS.is_held, held) is None:
                raise taken_over()
            accepted = await accepting.accept(
                connection, received, self.upload.said, self._uploads.limits
            )
            await connection.execute(
                STATEMENTS.become_document,
                {
                    "id": self.upload.id,
                    "size": size,
                    "document_id": accepted.document_id,
                    "outcome": accepted.outcome,
                },
            )
        self._uploads.digests.forget(self.upload.id)
        self.received = size
        log.info("document %s is here: %s", accepted.document_id, accepted.outcome)
        return self._shown(accepted.document_id, accepted.outcome)

    async def _sha256(self) -> bytes:
        """Of the whole file: what this process did not see come is read back."""
        digest, place = self._uploads.digests.so_far(self.upload.id, self._place)
        while place < self._place:
            async with self._uploads.database.reading(self._owner) as connection:
                cursor = await connection.execute(
                    STATEMENTS.read_parts,
                    {"file_id": self.upload.file_id, "position": place, "end": self._place},
                    binary=True,
                )
                rows = await cursor.fetchall()
            if not rows:
                raise taken_over()
            for row in rows:
                digest.update(row["data"])
                place += len(row["data"])
        digest.update(bytes(self._buffer))
        return digest.digest()

    def _shown(self, document_id: UUID | None, outcome: str | None) -> Upload:
        return replace(
            self.upload,
            received=self.received,
            document_id=document_id,
            outcome=outcome,
            expires_at=self.expires_at,
        )


class RunningDigests:
    """SHA-256 of the uploads that this process has seen from their beginning, as far as they are.

    Only to save reading the bytes back at the end; what is forgotten here is read back.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, tuple[_Hash, int]] = OrderedDict()

    def update(self, upload_id: UUID, position: int, data: bytes) -> None:
        """Take bytes that were committed; those that do not follow on make it forget."""
        digest, place = self._kept.pop(upload_id, (hashlib.sha256(), 0))
        if place != position:
            return
        digest.update(data)
        self._kept[upload_id] = (digest, position + len(data))
        if len(self._kept) > DIGESTS_KEPT:
            self._kept.popitem(last=False)

    def so_far(self, upload_id: UUID, most: int) -> "tuple[_Hash, int]":
        """A digest to go on with, and how many bytes it has seen: at most `most`.

        It may have seen more, of a slice that was dropped.
        """
        digest, place = self._kept.get(upload_id, (hashlib.sha256(), 0))
        return (digest.copy(), place) if place <= most else (hashlib.sha256(), 0)

    def forget(self, upload_id: UUID) -> None:
        """The upload is over."""
        self._kept.pop(upload_id, None)


async def _find(connection: Async, upload_id: UUID) -> Upload:
    row = await one(connection, STATEMENTS.find, {"id": upload_id})
    if row is None:
        raise not_found()
    if row["expired"] and row["document_id"] is None:
        raise Problem("UPLOAD_EXPIRED", "Nothing came for too long. Begin the upload anew.")
    return _upload(row)


def _upload(row: Row) -> Upload:
    said: dict[str, Any] = row["said"]
    return Upload(
        id=row["id"],
        file_id=row["file_id"],
        length=row["length"],
        received=row["received"],
        said=NewDocument(**said),
        metadata=row["metadata"],
        document_id=row["document_id"],
        outcome=row["outcome"],
        expires_at=row["expires_at"],
    )


def not_found() -> Problem:
    """The same for an upload that never was, one that is over and one of another owner."""
    return Problem("NOT_FOUND", "There is no such upload.")


def wrong_offset(received: int) -> Problem:
    """The refusal of bytes that do not follow on."""
    return Problem(
        "UPLOAD_OFFSET_WRONG", f"The upload is at {received}. Go on from there.", offset=received
    )


def taken_over() -> Problem:
    """What an older request learns when a newer one goes on."""
    return Problem("UPLOAD_TAKEN_OVER", "A newer request goes on with this upload.")
