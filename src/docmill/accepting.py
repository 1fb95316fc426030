"""Make received bytes a document: bytes, document and first job are one commit, whoever received.

Runs in the caller's transaction. What is here already is not added again: it is returned, tried
again, or replaced by a new generation, as `duplicates.py` decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from docmill import control, job_queue, logs, tracing
from docmill.database import ApiDatabase, Async, Row, Statements, every, one
from docmill.disk_reserve import DiskReserve
from docmill.duplicates import Decision, Existing, decide
from docmill.errors import Problem
from docmill.lifecycle import PRIORITIES
from docmill.status import LINE_END, SPELT_LINES

STATEMENTS = Statements("accepting")

# How long parts are kept without a further one, for those whose server died. The upload itself is
# given up much earlier; generous, so that a slow disk loses nothing.
PATIENCE_SECONDS = 600.0
# The same bytes were completed by another upload, or deleted with their last document, at this very
# moment: whoever accepts looks again, a few times.
COLLISIONS = (psycopg.errors.UniqueViolation, psycopg.errors.ForeignKeyViolation)
TRIES = 4

Outcome = Literal["accepted", "existing", "retried", "replaced"]
OUTCOMES: dict[Decision, Outcome] = {
    "add": "accepted",
    "return": "existing",
    "retry": "retried",
    "replace": "replaced",
}


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What the sender says about the file."""

    filename: str
    collection: str | None = None
    external_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    priority: str = "normal"
    on_duplicate: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service allows: bytes of one file, bytes of an owner's files, tries of a job.

    `disk` is the one that the database fills, where that is ours to look at.
    """

    max_bytes: int
    quota_bytes: int | None
    max_attempts: int
    disk: DiskReserve | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes that have all come: kept as the parts of `file_id` up to `position`, and the rest."""

    size: int
    sha256: bytes
    file_id: UUID | None
    position: int
    rest: bytes


@dataclass(frozen=True, slots=True)
class _Offer:
    """Complete bytes, what is said about them, and what is allowed."""

    document: NewDocument
    file_id: UUID
    limits: Limits

    def as_columns(self) -> dict[str, Any]:
        """What a document's row says of it, new or again."""
        return {
            "file_id": self.file_id,
            "filename": self.document.filename,
            "metadata": Jsonb(self.document.metadata),
            "priority": PRIORITIES[self.document.priority],
            "traceparent": tracing.traceparent(),
        }


@dataclass(frozen=True, slots=True)
class Accepted:
    """The document that the bytes have become, or were already.

    `position` is its place in line, where it is new and that is known.
    """

    document_id: UUID
    outcome: Outcome
    position: int | None = None


async def accept_new(
    database: ApiDatabase, owner: UUID, received: Received, document: NewDocument, limits: Limits
) -> Accepted | None:
    """Make bytes that are no document yet one, in one statement and its commit.

    None where they are, or something has to be looked at first: then nothing was written, and it
    takes `accept`.

    Raises:
        psycopg.Error: one of COLLISIONS, after which `accept` may go through.
    """
    if not _may_be_added(received, limits):
        return None
    told = _told(owner, received, document, limits)
    return _added(await database.committed("accept_document", STATEMENTS.add_new, told))


async def accept(
    connection: Async, received: Received, document: NewDocument, limits: Limits
) -> Accepted:
    """Make the bytes a document with its first job.

    Raises:
        Problem: FILE_EMPTY, DUPLICATE, QUOTA_EXCEEDED.
        psycopg.Error: one of COLLISIONS, after which another try may go through.
    """
    if received.size == 0:
        raise empty(document.filename)
    if _may_be_added(received, limits):
        told = _told(None, received, document, limits)
        if added := _added(await every(connection, STATEMENTS.add_new, told)):
            return added
    file_id = await _complete(connection, received, limits)
    collection_id = await _collection(connection, document.collection)
    row = await one(
        connection,
        STATEMENTS.find_existing,
        {
            "collection_id": collection_id,
            "external_id": document.external_id,
            "file_id": file_id,
        },
    )
    decision = decide(document.on_duplicate, _existing(row, file_id))
    offer = _Offer(document, file_id, limits)
    if row is None:
        document_id = await _add(connection, offer, collection_id)
    else:
        document_id = row["id"]
        await _again(connection, decision, offer, document_id)
    _say(document_id, OUTCOMES[decision])
    return Accepted(document_id, OUTCOMES[decision])


def refuse_without_room(size: int, limits: Limits) -> None:
    """Do nothing where the disk has room for so many bytes more.

    Raises:
        Problem: STORAGE_FULL.
    """
    if limits.disk is not None:
        limits.disk.refuse(size)


async def keep_parts(
    connection: Async, file_id: UUID, position: int, parts: Sequence[bytes]
) -> None:
    """Keep some more of a file's bytes, and say with it that they still come.

    The next part is sent while the server is busy with the one before.

    Raises:
        Problem: UPLOAD_CUT_OFF, the file was given up for dead.
    """
    try:
        async with connection.pipeline():
            alive = await connection.execute(
                STATEMENTS.keep_alive, {"file_id": file_id, "patience": PATIENCE_SECONDS}
            )
            for part in parts:
                await connection.execute(
                    STATEMENTS.keep_part, {"file_id": file_id, "position": position, "data": part}
                )
                position += len(part)
    except psycopg.errors.ForeignKeyViolation as error:
        raise _cut_off() from error
    if await alive.fetchone() is None:
        raise _cut_off()


def _cut_off() -> Problem:
    return Problem("UPLOAD_CUT_OFF", "The upload paused for too long. Send it again.")


async def begin_file(connection: Async) -> UUID:
    """A file that bytes can be kept of."""
    row = await one(connection, STATEMENTS.begin_file, {"patience": PATIENCE_SECONDS})
    assert row is not None  # noqa: S101 - an insert that returned nothing would have raised
    return UUID(str(row["id"]))


async def refuse_over_quota(connection: Async, size: int, limits: Limits) -> None:
    """Do nothing where so many bytes more are within what the owner may keep.

    Raises:
        Problem: QUOTA_EXCEEDED.
    """
    if limits.quota_bytes is None:
        return
    row = await one(connection, STATEMENTS.used_bytes, {})
    used = row["used"] if row else 0
    if used + size > limits.quota_bytes:
        raise Problem(
            "QUOTA_EXCEEDED",
            f"With this file you would keep {used + size:,} bytes; {limits.quota_bytes:,} are"
            " yours. Delete documents, or ask for more room.",
            quota=limits.quota_bytes,
            used=used,
        )


def empty(filename: str) -> Problem:
    """The refusal of a file without bytes."""
    return Problem("FILE_EMPTY", f"{filename} has no bytes. Choose a file that is not empty.")


def too_large(max_bytes: int) -> Problem:
    """The refusal of a file above the limit."""
    return Problem(
        "FILE_TOO_LARGE",
        f"The file is larger than {max_bytes:,} bytes, the most this server takes. Split it, or"
        " ask the server's operator to raise DOCMILL_MAX_UPLOAD_BYTES.",
        max_size=max_bytes,
    )


def _may_be_added(received: Received, limits: Limits) -> bool:
    """Whether the bytes can be added in one statement, if they are new."""
    if received.size == 0 or received.file_id is not None or limits.quota_bytes is not None:
        return False
    return limits.disk is None or limits.disk.has_room(received.size)


def _told(
    asking: UUID | None, received: Received, document: NewDocument, limits: Limits
) -> dict[str, Any]:
    return {
        "asking": asking,
        "sha256": received.sha256,
        "data": received.rest,
        "collection": document.collection,
        "filename": document.filename,
        "external_id": document.external_id,
        "metadata": Jsonb(document.metadata),
        "priority": PRIORITIES[document.priority],
        "traceparent": tracing.traceparent(),
        "max_attempts": limits.max_attempts,
        "line_end": LINE_END,
        **SPELT_LINES,
    }


def _added(rows: list[Row]) -> Accepted | None:
    if not rows:
        return None
    (row,) = rows
    _say(row["document_id"], "accepted")
    return Accepted(row["document_id"], "accepted", row["position"])


def _say(document_id: UUID, outcome: Outcome) -> None:
    """In the log and in the trace."""
    logs.note(document_id=document_id)
    tracing.say(document_id=str(document_id), outcome=outcome)


async def _complete(connection: Async, received: Received, limits: Limits) -> UUID:
    """The id of a complete file with these bytes: one that is here already, or ours."""
    known = await one(connection, STATEMENTS.find_content, {"sha256": received.sha256})
    if known is not None:
        if received.file_id is not None:
            await connection.execute(STATEMENTS.forget_file, {"file_id": received.file_id})
        return UUID(str(known["id"]))
    await refuse_over_quota(connection, received.size, limits)
    refuse_without_room(len(received.rest), limits)
    content = {"sha256": received.sha256, "size": received.size}
    if received.file_id is None:
        row = await one(connection, STATEMENTS.add_file, {**content, "data": received.rest})
        assert row is not None  # noqa: S101 - as in begin_file
        return UUID(str(row["id"]))
    if received.rest:
        await keep_parts(connection, received.file_id, received.position, [received.rest])
    await connection.execute(STATEMENTS.complete_file, {**content, "file_id": received.file_id})
    return received.file_id


async def _collection(connection: Async, name: str | None) -> UUID | None:
    if name is None:
        return None
    await connection.execute(STATEMENTS.add_collection, {"name": name})
    row = await one(connection, STATEMENTS.find_collection, {"name": name})
    return row["id"] if row else None


def _existing(row: Row | None, file_id: UUID) -> Existing | None:
    if row is None:
        return None
    return Existing(row["status"], row["file_id"] == file_id, row["passing"])


async def _add(connection: Async, offer: _Offer, collection_id: UUID | None) -> UUID:
    row = await one(
        connection,
        STATEMENTS.add_document,
        {
            **offer.as_columns(),
            "collection_id": collection_id,
            "external_id": offer.document.external_id,
        },
    )
    assert row is not None  # noqa: S101 - as in begin_file
    await _add_first_job(connection, offer, row["id"], generation=1)
    return UUID(str(row["id"]))


async def _again(connection: Async, decision: Decision, offer: _Offer, document_id: UUID) -> None:
    """Do with a document that is here what was decided."""
    match decision:
        case "refuse":
            raise Problem(
                "DUPLICATE",
                "This document is here already, and on_duplicate is `error`.",
                document_id=str(document_id),
            )
        case "retry":
            await control.requeue(connection, document_id)
        case "replace":
            await _replace(connection, offer, document_id)


async def _replace(connection: Async, offer: _Offer, document_id: UUID) -> None:
    await control.revoke(connection, document_id)
    row = await one(
        connection,
        STATEMENTS.replace_document,
        {**offer.as_columns(), "document_id": document_id},
    )
    if row is None:
        raise psycopg.errors.ForeignKeyViolation  # deleted at this very moment: look again
    await _add_first_job(connection, offer, document_id, generation=row["generation"])
    await control.free(connection, row["former_file_id"])


async def _add_first_job(
    connection: Async, offer: _Offer, document_id: UUID, *, generation: int
) -> None:
    await connection.execute(
        STATEMENTS.add_first_job,
        {
            "document_id": document_id,
            "generation": generation,
            "priority": PRIORITIES[offer.document.priority],
            "max_attempts": offer.limits.max_attempts,
        },
    )
    await connection.execute(job_queue.STATEMENTS.wake_workers)
