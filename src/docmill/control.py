"""Cancel, retry, reprocess, delete: what a user may ask of a document, in every state.

Each is one transaction. A worker in the middle of the document is not waited for: its lease is
revoked or its rows are gone, so its next commit is refused and its next beat tells it to stop.
"""

from uuid import UUID

from docmill import documents, events, job_queue, tracing
from docmill.database import ApiDatabase, Async, Row, Statements, every, one
from docmill.errors import Problem

STATEMENTS = Statements("control")
QUEUE = job_queue.STATEMENTS


class Control:
    """The operations on one owner's documents. An unknown id is NOT_FOUND in all of them."""

    def __init__(self, database: ApiDatabase, owner: UUID) -> None:
        self._database = database
        self._owner = owner

    async def cancel(self, document_id: UUID) -> None:
        """Stop the work; nothing happens to a document that has ended."""
        which = {"document_id": document_id}
        async with self._database.commit(self._owner, "cancel") as connection:
            await _find(connection, document_id)
            await revoke(connection, document_id)
            if await one(connection, STATEMENTS.cancel_document, which):
                ended = {"document_ids": [document_id]}
                await connection.execute(events.STATEMENTS.announce_ends, ended)

    async def retry(self, document_id: UUID) -> None:
        """Let a failed or cancelled document go on where it stopped, with all its attempts anew.

        Raises:
            Problem: DOCUMENT_NOT_FAILED.
        """
        async with self._database.commit(self._owner, "retry") as connection:
            document = await _find(connection, document_id)
            if not await requeue(connection, document_id):
                raise Problem(
                    "DOCUMENT_NOT_FAILED",
                    f"The document is {document['status']}; there is nothing to retry. To have it"
                    " read anew, reprocess it.",
                )

    async def reprocess(self, document_id: UUID, max_attempts: int) -> None:
        """Read, cut and embed a document anew; what serves goes on serving meanwhile.

        Raises:
            Problem: DOCUMENT_NOT_ENDED.
        """
        which = {"document_id": document_id}
        async with self._database.commit(self._owner, "reprocess") as connection:
            await _find(connection, document_id)
            await _lock_jobs(connection, document_id)
            again = {**which, "traceparent": tracing.traceparent()}
            row = await one(connection, STATEMENTS.reprocess_document, again)
            if row is None:
                raise Problem(
                    "DOCUMENT_NOT_ENDED",
                    "The document is being processed. Wait for its end or cancel it first.",
                )
            await connection.execute(
                STATEMENTS.add_parse_job,
                {**which, "generation": row["generation"], "max_attempts": max_attempts},
            )
            await connection.execute(QUEUE.wake_workers)

    async def delete(self, document_id: UUID) -> None:
        """Remove a document, in every state, with everything that hangs on it."""
        which = {"document_id": document_id}
        async with self._database.commit(self._owner, "delete") as connection:
            await _find(connection, document_id)
            await _lock_jobs(connection, document_id)
            await connection.execute(STATEMENTS.hold_webhooks, which)
            row = await one(connection, STATEMENTS.delete_document, which)
            if row is not None:
                for file_id in sorted({row["file_id"], row["served_file_id"]} - {None}):
                    await free(connection, file_id)


async def revoke(connection: Async, document_id: UUID) -> None:
    """End every live job of a document; whoever works on one is refused from now on."""
    await _lock_jobs(connection, document_id)
    await connection.execute(QUEUE.revoke_jobs, {"document_id": document_id})


async def requeue(connection: Async, document_id: UUID) -> bool:
    """Let a failed or cancelled document go on where it stopped; False where it is neither."""
    which = {"document_id": document_id}
    await _lock_jobs(connection, document_id)
    row = await one(connection, STATEMENTS.retry_document, which)
    if row is None:
        return False
    await connection.execute(QUEUE.requeue_ended_jobs, {**which, "generation": row["generation"]})
    await connection.execute(QUEUE.wake_workers)
    return True


async def free(connection: Async, file_id: UUID) -> None:
    """Drop a file's bytes, unless a document still uses them."""
    await connection.execute(documents.STATEMENTS.lock_file, {"file_id": file_id})
    await connection.execute(documents.STATEMENTS.free_file, {"file_id": file_id})


def not_found() -> Problem:
    """The same answer for an id that never was, one that is gone and one of another owner."""
    return Problem("NOT_FOUND", "There is no such document.")


async def _find(connection: Async, document_id: UUID) -> Row:
    row = await one(connection, STATEMENTS.find_document, {"document_id": document_id})
    if row is None:
        raise not_found()
    return row


async def _lock_jobs(connection: Async, document_id: UUID) -> None:
    """As `job_queue.lock_jobs`: hold every job of the document, those that came meanwhile too."""
    which = {"document_id": document_id}
    held: list[Row] | None = None
    while (found := await every(connection, QUEUE.lock_jobs, which)) != held:
        held = found
