"""Rows for database tests, made the way docmill makes them: by its own statements."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from docmill import job_queue
from docmill.database import Sync
from docmill.job_queue import Claimant
from docmill.lifecycle import PRIORITIES
from docmill.model import Job

OWNER = UUID("00000000-0000-4000-8000-000000000001")
LEASE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Made:
    """A document that was just uploaded."""

    document_id: UUID
    file_id: UUID


def uploaded(
    admin: Sync, owner: UUID = OWNER, *, max_attempts: int = 5, priority: str = "normal"
) -> Made:
    """A document of five bytes, waiting to be parsed."""
    file = admin.execute(
        "insert into files (owner_id, sha256, size) values"
        " (%s, sha256(%s::text::bytea), 5) returning id",
        [owner, str(uuid4())],
    ).fetchone()
    assert file is not None
    admin.execute(
        "insert into file_parts (owner_id, file_id, position, data) values (%s, %s, 0, 'hello')",
        [owner, file["id"]],
    )
    document = admin.execute(
        "insert into documents (owner_id, file_id, filename, priority)"
        " values (%s, %s, 'a.txt', %s) returning id",
        [owner, file["id"], PRIORITIES[priority]],
    ).fetchone()
    assert document is not None
    admin.execute(
        "insert into processing_jobs"
        " (owner_id, document_id, generation, stage, priority, max_attempts)"
        " values (%s, %s, 1, 'parse', %s, %s)",
        [owner, document["id"], PRIORITIES[priority], max_attempts],
    )
    return Made(document["id"], file["id"])


def claimed(connection: Sync, worker: str = "w1", *, lease: float = LEASE_SECONDS) -> Job:
    """The next job, claimed."""
    (job,) = job_queue.claim(connection, Claimant(worker, lease), 1)
    return job
