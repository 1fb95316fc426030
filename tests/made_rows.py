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


def read_five_times(admin: Sync) -> UUID:
    """A document read five times, long ago. The second generation serves, the fifth is newest."""
    made = uploaded(admin)
    admin.execute("delete from processing_jobs where document_id = %s", [made.document_id])
    for number in range(1, 6):
        left_generation(admin, made.document_id, number, ended_days_ago=31)
    admin.execute(
        "update documents set generation = 5, serving = 2, served_file_id = file_id,"
        " served_filename = filename, status = 'cancelled' where id = %s",
        [made.document_id],
    )
    return made.document_id


def left_generation(admin: Sync, document: UUID, number: int, *, ended_days_ago: int) -> None:
    """What a whole generation leaves: a page, a passage, its vector, three jobs of two attempts."""
    told = {"id": document, "owner": OWNER, "n": number, "days": ended_days_ago}
    admin.execute(
        """
        insert into pages (owner_id, document_id, generation, number, text)
        values (%(owner)s, %(id)s, %(n)s, 1, 'hello')""",
        told,
    )
    admin.execute(
        """
        insert into chunks (owner_id, document_id, generation, ordinal, text, page_first, page_last,
                            char_start, char_end, words)
        values (%(owner)s, %(id)s, %(n)s, 0, 'hello', 1, 1, 0, 5, '')""",
        told,
    )
    admin.execute(
        """
        insert into embeddings (owner_id, document_id, generation, ordinal, model_id, embedding)
        select %(owner)s, %(id)s, %(n)s, 0, min(id), array_fill(0.1, array[256])::vector
        from embedding_models where dimensions = 256""",
        told,
    )
    for stage in ("parse", "chunk", "embed"):
        admin.execute(
            """
            with job as (
              insert into processing_jobs (owner_id, document_id, generation, stage, priority,
                status, attempt, max_attempts, done, total, started_at, finished_at)
              values (%(owner)s, %(id)s, %(n)s, %(stage)s,
                case %(stage)s when 'parse' then 0 else -1 end, 'succeeded', 2, 5, 1, 1, now(),
                now() - make_interval(days => %(days)s))
              returning *)
            insert into job_attempts (owner_id, job_id, attempt, worker, ended_at, outcome, error)
            select owner_id, id, 1, 'w', finished_at, 'failed', '{}'::jsonb from job
            union all
            select owner_id, id, 2, 'w', finished_at, 'succeeded', null from job""",
            {**told, "stage": stage},
        )
