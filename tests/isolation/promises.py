"""What must be true of the rows whatever met whom, in whatever order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import LiteralString

from docmill.database import Sync

GONE = "nothing is left"


@dataclass(frozen=True, slots=True)
class Promise:
    """A sentence, the ids of the rows of which it is not true, and a change that breaks it."""

    says: LiteralString
    query: LiteralString
    broken_by: LiteralString


PROMISES = (
    Promise(
        "a running job has one open attempt, its last; any other job has none",
        """select j.id from processing_jobs j
           left join job_attempts a on a.job_id = j.id and a.ended_at is null
           where (j.status = 'running') <> (a.attempt is not null)
              or (j.status = 'running' and a.attempt <> j.attempt)""",
        "delete from job_attempts where ended_at is null",
    ),
    Promise(
        "attempts are numbered without a gap up to the job's; those of long ago may be gone",
        """select j.id from processing_jobs j
           where array(select attempt from job_attempts a where a.job_id = j.id order by attempt)
              <> array(select generate_series(coalesce(
                   (select min(attempt) from job_attempts where job_id = j.id), 1), j.attempt))""",
        "update job_attempts set attempt = attempt + 1 where ended_at is null",
    ),
    Promise(
        "a job succeeded if its last attempt did, and no other attempt does",
        """select j.id from processing_jobs j join job_attempts a on a.job_id = j.id
           where (coalesce(a.outcome, 'open') = 'succeeded')
              <> (j.status = 'succeeded' and a.attempt = j.attempt)""",
        "update job_attempts set outcome = 'released' where outcome = 'succeeded'",
    ),
    Promise(
        "a document that is to be worked on has a job that waits or runs",
        """select d.id from documents d where d.status in ('queued', 'processing') and not exists (
             select from processing_jobs j where j.document_id = d.id
               and j.generation = d.generation and j.status in ('queued', 'running'))""",
        """update processing_jobs set status = 'cancelled', finished_at = now(),
             lease_token = null, lease_until = null where status = 'running'""",
    ),
    Promise(
        "a document that has ended has no job that waits or runs",
        """select d.id from documents d join processing_jobs j on j.document_id = d.id
           where d.status in ('completed', 'failed', 'cancelled')
             and j.status in ('queued', 'running')""",
        "update documents set status = 'cancelled', stage = null where status = 'processing'",
    ),
    Promise(
        "a job of an earlier generation has ended",
        """select j.id from processing_jobs j join documents d on d.id = j.document_id
           where j.generation <> d.generation and j.status in ('queued', 'running')""",
        "update documents set generation = 2 where status = 'processing'",
    ),
    Promise(
        "nobody works on a document that is said to wait for its first worker",
        """select d.id from documents d join processing_jobs j on j.document_id = d.id
           where d.status = 'queued' and j.status = 'running'""",
        "update documents set status = 'queued', stage = null where status = 'processing'",
    ),
    Promise(
        "a completed document has all its jobs done",
        """select d.id from documents d join processing_jobs j
             on j.document_id = d.id and j.generation = d.generation
           where d.status = 'completed' and j.status <> 'succeeded'""",
        "update processing_jobs set status = 'cancelled' where status = 'succeeded'",
    ),
    Promise(
        "a failed document has a job that failed",
        """select d.id from documents d where d.status = 'failed' and not exists (
             select from processing_jobs j where j.document_id = d.id
               and j.generation = d.generation and j.status = 'failed')""",
        """update documents set status = 'failed', stage = null, error = '{}'
           where status = 'processing'""",
    ),
    Promise(
        "a document counts what is kept of it",
        """select d.id from documents d
           where (d.pages_done, d.chunks_done, d.embedded_done) <> (
             (select count(*) from pages p
              where p.document_id = d.id and p.generation = d.generation),
             (select count(*) from chunks c
              where c.document_id = d.id and c.generation = d.generation),
             (select count(*) from embeddings e
              where e.document_id = d.id and e.generation = d.generation))""",
        "delete from pages",
    ),
    Promise(
        "what serves is whole",
        """select d.id from documents d where d.serving is not null and not exists (
             select from embeddings e where e.document_id = d.id and e.generation = d.serving)""",
        "delete from embeddings",
    ),
    Promise(
        "a file belongs to a document",
        """select f.id from files f where f.receiving_until is null and not exists (
             select from documents d where d.file_id = f.id)""",
        "delete from documents",
    ),
    Promise(
        "each webhook that wants to know is told what a document has come to",
        """select d.id from documents d
           join webhooks w on w.owner_id = d.owner_id and 'document.' || d.status = any (w.events)
           where not exists (
             select from webhook_deliveries t
             where t.webhook_id = w.id and t.document_id = d.id and t.version = d.version
               and t.event = 'document.' || d.status)""",
        "delete from webhook_deliveries",
    ),
)
_ALL = " union all ".join(
    f"select $says${promise.says}$says$ as says, id::text as id from ({promise.query}) broken"
    for promise in PROMISES
)


def broken(admin: Sync) -> Iterator[str]:
    """A sentence for each promise that a row breaks."""
    for row in admin.execute(_ALL.encode()):
        yield f"not so: {row['says']} ({row['id']})"


def ending(admin: Sync) -> str:
    """What became of it all, comparable between orders: no ids, no times.

    The documents, and each job that did not succeed with how its last attempt ended.
    """
    documents = admin.execute(
        """select concat_ws(' ', status, 'g' || nullif(generation, 1),
                            'serving ' || nullif(serving, generation)) as said
           from documents order by created_at"""
    ).fetchall()
    jobs = admin.execute(
        """select concat_ws(' ', j.stage || coalesce(nullif(j.part, 0)::text, ''),
                            'g' || nullif(j.generation, 1), j.status,
                            case when j.attempt > 0
                              then '(' || coalesce(a.outcome, 'open') || ')' end) as said
           from processing_jobs j join documents d on d.id = j.document_id
           left join job_attempts a on a.job_id = j.id and a.attempt = j.attempt
           where j.status <> 'succeeded'
           order by d.created_at, j.generation, j.id"""
    ).fetchall()
    return ", ".join(row["said"] for row in [*documents, *jobs]) or GONE
