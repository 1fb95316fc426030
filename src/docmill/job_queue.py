"""The queue: claim, beat, checkpoint, finish, retry or fail, release, reap.

The statements and their reasons are in `job_queue.sql`. Functions that take a connection run in
the caller's transaction, because the point of this queue is that a stage's output, its end and the
next job are one commit. `checkpoint` and `finish` are fences and go first in it. Where the claim
no longer holds, they raise `LeaseLost`, and the caller's transaction is rolled back; `finish`,
which ends several jobs at once, leaves lost ones out as long as one is held.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from docmill import events
from docmill.database import Row, Statements, Sync
from docmill.errors import FAILURES, Failure, LeaseLost
from docmill.lifecycle import PRIORITIES
from docmill.model import Job
from docmill.retry import RetryPolicy, counts_against, ends_the_job

STATEMENTS = Statements("job_queue")

# What was begun is finished before new documents are begun: less is half-done at any moment, and
# the first results come sooner. Added to the document's own priority.
PRIORITY = {"parse": 0, "chunk": -1, "embed": -1}
# Every stage with every priority that its jobs may have: the lines in which an owner's jobs stand.
# Others are refused by the table (`known_line`).
_LINES = [
    (stage, own + of_stage) for stage, of_stage in PRIORITY.items() for own in PRIORITIES.values()
]
LINES = {
    "stages": [stage for stage, _ in _LINES],
    "priorities": [priority for _, priority in _LINES],
}
NOBODY = UUID(int=0)
# How many jobs fill a slot goes by their files: each so many bytes weigh as much as one more. Where
# a service embeds, a slot is filled by what about one call takes, 64 passages: the calls of a
# group follow each other, and other workers could make theirs at the same time.
WEIGHED_BYTES = 16 * 1024
WEIGHED_BYTES_IN_CALLS = 800


@dataclass(frozen=True, slots=True)
class Part:
    """One job of a stage that is split: its number, what it covers, and how many units that is."""

    part: int
    span: dict[str, int] | None = None
    total: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The row that `enqueue_jobs` takes."""
        return {"part": self.part, "span": self.span, "total": self.total}


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims: the worker's id, and for how many seconds a claim holds without a beat."""

    worker: str
    lease_seconds: float


def claim(
    connection: Sync,
    claimant: Claimant,
    slots: int,
    service: str = "",
    after: UUID = NOBODY,
    *,
    group: int = 1,
    weighed_bytes: int = WEIGHED_BYTES,
) -> list[Job]:
    """Take due jobs for up to `slots` slots; often none.

    A job fills a slot, or up to `group` of them do, by what they weigh (`Job.weight`): one, and one
    more for each `weighed_bytes` of their files. None embeds while that service is paused.

    Owners with equally much in work come in the order of their ids, from the one behind `after`;
    the last job is of the one who came last. In a transaction of its own, where a stage is limited:
    the limit is a lock until its end.
    """
    connection.execute(STATEMENTS.keep_to_limits)
    rows = connection.execute(
        STATEMENTS.claim_jobs,
        {
            "slots": slots,
            "group": group,
            "weighed_bytes": weighed_bytes,
            "lease": claimant.lease_seconds,
            "worker": claimant.worker,
            "service": service,
            "after": after,
        },
    ).fetchall()
    return [_job(row) for row in rows]


def beat(connection: Sync, jobs: Sequence[Job], lease_seconds: float) -> set[int]:
    """Renew the leases of these jobs and return the ids of those that are still held."""
    rows = connection.execute(
        STATEMENTS.beat_jobs,
        {
            "ids": [job.id for job in jobs],
            "tokens": [job.token for job in jobs],
            "lease": lease_seconds,
        },
    ).fetchall()
    return {row["id"] for row in rows}


def checkpoint(
    connection: Sync,
    job: Job,
    *,
    done: int,
    lease_seconds: float,
    total: int | None = None,
    span: dict[str, int] | None = None,
    state: dict[str, Any] | None = None,
) -> None:
    """Fence a commit in the middle of a job: `done` of its units are committed with it.

    Raises:
        LeaseLost: the claim no longer holds.
    """
    row = connection.execute(
        STATEMENTS.checkpoint_job,
        {
            **_claim(job),
            "done": done,
            "total": total,
            "span": _json(span),
            "checkpoint": _json(state),
            "lease": lease_seconds,
        },
    ).fetchone()
    if row is None:
        raise LeaseLost


def finish(connection: Sync, ended: Sequence[tuple[Job, int]]) -> set[int]:
    """Fence the last commit of jobs: end them and their attempts as succeeded, each with its units.

    Returns:
        The ids of those that were still held. Of the others nothing may be written.

    Raises:
        LeaseLost: none was.
    """
    rows = connection.execute(
        STATEMENTS.finish_jobs,
        {
            "ids": [job.id for job, _ in ended],
            "tokens": [job.token for job, _ in ended],
            "attempts": [job.attempt for job, _ in ended],
            "done": [done for _, done in ended],
        },
    ).fetchall()
    if not rows:
        raise LeaseLost
    return {row["id"] for row in rows}


def enqueue(connection: Sync, job: Job, stage: str, parts: Sequence[Part]) -> None:
    """Add jobs of a stage of the same document; those that exist stay as they are."""
    connection.execute(
        STATEMENTS.enqueue_jobs,
        {
            **_following(job, stage),
            "parts": Jsonb([part.as_json() for part in parts]),
        },
    )
    connection.execute(STATEMENTS.wake_workers)


def enqueue_taken(
    connection: Sync, parts: Sequence[tuple[Job, Part]], stage: str, claimant: Claimant
) -> dict[UUID, Job]:
    """Add the one job that follows in each document, claimed by the same worker.

    Returns:
        Those jobs by document, without what exists already, or waits like any other because its
        stage is limited.
    """
    if not parts:
        return {}
    before = {job.document_id: job for job, _ in parts}
    rows = connection.execute(
        STATEMENTS.enqueue_taken_jobs,
        {
            "stage": stage,
            "lease": claimant.lease_seconds,
            "worker": claimant.worker,
            "jobs": Jsonb([_following(job, stage) | part.as_json() for job, part in parts], _text),
        },
    ).fetchall()
    taken = [row for row in rows if row["status"] == "running"]
    if len(taken) < len(rows):
        connection.execute(STATEMENTS.wake_workers)
    return {row["document_id"]: _follower(row, before[row["document_id"]]) for row in taken}


def _follower(row: Row, before: Job) -> Job:
    known = {
        "filename": before.filename,
        "file_id": before.file_id,
        "file_size": before.file_size,
        "traceparent": before.traceparent,
    }
    return _job({**row, **known, "seconds_waited": 0.0, "weight": before.weight})


def unfinished_parts(connection: Sync, jobs: Sequence[Job], stage: str) -> set[UUID]:
    """Of these jobs' documents, those where some job of a stage has not succeeded.

    Lock the documents' rows before asking.
    """
    rows = connection.execute(
        STATEMENTS.list_unfinished,
        {
            "document_ids": [job.document_id for job in jobs],
            "generations": [job.generation for job in jobs],
            "stage": stage,
        },
    ).fetchall()
    return {row["document_id"] for row in rows}


def fail(connection: Sync, job: Job, failure: Failure, policy: RetryPolicy) -> str | None:
    """End an attempt that failed: back in line with a wait, or the end of the job and its document.

    Returns:
        `queued` or `failed`; None where the claim no longer holds and nothing was written.
    """
    got_on = units_done(connection, job) > job.done
    if ends_the_job(failure, job.attempt, job.released, job.max_attempts, got_on=got_on):
        ended = fail_for_good(connection, job, failure)
        return "failed" if ended else None
    error = error_json(job, failure)
    row = connection.execute(
        STATEMENTS.retry_job,
        {
            **_claim(job),
            "error": Jsonb(error),
            "retry_after": failure.retry_after,
            "base": policy.base_seconds,
            "cap": policy.cap_seconds,
        },
    ).fetchone()
    if row is None:
        return None
    _end_attempt(connection, job, "failed", error)
    return "queued"


def units_done(connection: Sync, job: Job) -> int:
    """How many units of a job are committed; 0 where the claim no longer holds."""
    row = connection.execute(STATEMENTS.units_done, _claim(job)).fetchone()
    return int(row["done"]) if row else 0


def fail_for_good(connection: Sync, job: Job, failure: Failure, *, expired: bool = False) -> bool:
    """End a job as failed, and with it its document and the document's other jobs.

    With `expired` only where the lease ran out (the reaper's case: a worker that still beats must
    not be overruled). Returns False where nothing was written.
    """
    error = error_json(job, failure)
    lock_jobs(connection, job.document_id)
    row = connection.execute(
        STATEMENTS.fail_job, {**_claim(job), "error": Jsonb(error), "expired": expired}
    ).fetchone()
    if row is None:
        return False
    _end_attempt(connection, job, "lease_expired" if expired else "failed", error)
    connection.execute(STATEMENTS.revoke_jobs, {"document_id": job.document_id})
    ended = connection.execute(
        STATEMENTS.fail_document,
        {"document_id": job.document_id, "generation": job.generation, "error": Jsonb(error)},
    ).fetchone()
    if ended is not None:
        events.announce_ends(connection, [job.document_id])
    return True


def lock_jobs(connection: Sync, document_id: UUID) -> None:
    """Hold every job of the document, those that were added while we waited for one too."""
    which = {"document_id": document_id}
    held: list[Row] | None = None
    while (found := connection.execute(STATEMENTS.lock_jobs, which).fetchall()) != held:
        held = found


def postpone(
    connection: Sync, job: Job, failure: Failure, policy: RetryPolicy, service: str
) -> bool:
    """Let a job wait for the end of an outage, at no cost to its attempts.

    Returns False where nothing was written: the claim no longer holds, or it waited long enough.
    """
    error = error_json(job, failure)
    row = connection.execute(
        STATEMENTS.postpone_job,
        {
            **_claim(job),
            "error": Jsonb(error),
            "service": service,
            "base": policy.base_seconds,
            "cap": policy.cap_seconds,
            "patience": policy.outage_patience_seconds,
        },
    ).fetchone()
    if row is None:
        return False
    _end_attempt(connection, job, "failed", error)
    return True


def release(connection: Sync, job: Job) -> bool:
    """Give a job back unfinished, at no cost. What was committed of it stays."""
    row = connection.execute(STATEMENTS.release_job, _claim(job)).fetchone()
    if row is None:
        return False
    _end_attempt(connection, job, "released")
    return True


def reap(connection: Sync, policy: RetryPolicy) -> list[Row]:
    """Put the jobs of lost workers back in line; returns their id, document and late worker."""
    lost = Failure("LEASE_EXPIRED")
    return connection.execute(
        STATEMENTS.reap_jobs,
        {
            "error": Jsonb(_error(lost, retryable=True)),
            "base": policy.base_seconds,
            "cap": policy.cap_seconds,
        },
    ).fetchall()


def lost_for_good(connection: Sync) -> list[Job]:
    """Jobs that lost their worker on the last attempt. Fail each in a transaction of its own."""
    return [_job(row) for row in connection.execute(STATEMENTS.list_jobs_lost_for_good).fetchall()]


def count_due(connection: Sync, service: str = "") -> int:
    """How many jobs could be claimed now; no embedding while that service is paused."""
    row = connection.execute(STATEMENTS.count_due, {"service": service}).fetchone()
    return int(row["due"]) if row else 0


def error_json(job: Job, failure: Failure) -> dict[str, Any]:
    """The `error` of a status, of a job and of an attempt."""
    return {
        **_error(failure, retryable=failure.retryable),
        "stage": job.stage,
        "attempt": counts_against(job.attempt, job.released),
    }


def _error(failure: Failure, *, retryable: bool) -> dict[str, Any]:
    return {
        "code": failure.code,
        "title": FAILURES[failure.code].title,
        "detail": failure.detail,
        "retryable": retryable,
    }


def _end_attempt(
    connection: Sync, job: Job, outcome: str, error: dict[str, Any] | None = None
) -> None:
    connection.execute(
        STATEMENTS.end_attempt,
        {"id": job.id, "attempt": job.attempt, "outcome": outcome, "error": _json(error)},
    )


def _claim(job: Job) -> dict[str, Any]:
    return {"id": job.id, "token": job.token, "attempt": job.attempt}


def _following(job: Job, stage: str) -> dict[str, Any]:
    return {
        "owner_id": job.owner_id,
        "document_id": job.document_id,
        "generation": job.generation,
        "stage": stage,
        "priority": job.priority - PRIORITY[job.stage] + PRIORITY[stage],
        "max_attempts": job.max_attempts,
    }


def _text(value: Any) -> str:
    """JSON of what has ids in it."""
    return json.dumps(value, default=str)


def _json(value: dict[str, Any] | None) -> Jsonb | None:
    return None if value is None else Jsonb(value)


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        owner_id=row["owner_id"],
        document_id=row["document_id"],
        generation=row["generation"],
        stage=row["stage"],
        part=row["part"],
        priority=row["priority"],
        span=row["span"],
        attempt=row["attempt"],
        released=row["released"],
        max_attempts=row["max_attempts"],
        token=row["lease_token"],
        done=row["done"],
        total=row["total"],
        checkpoint=row["checkpoint"],
        filename=row["filename"],
        file_id=row["file_id"],
        file_size=row["file_size"],
        seconds_waited=row["seconds_waited"],
        traceparent=row["traceparent"],
        weight=row["weight"],
    )
