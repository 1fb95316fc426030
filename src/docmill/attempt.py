"""One attempt at a job: prepare its output, commit it with the job's end, or write down why not.

A stage has two halves. `prepare` does the work of one job and may commit in the middle of it;
`finish` commits the ends of several jobs at once, for a commit costs as much for one small document
as for many. How an attempt ended is a value; only `settle` acts on it. One that succeeded has
committed its own end.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from docmill import chunk_stage, embed_stage, embedding_service, job_queue, parse_stage
from docmill.database import WorkerDatabase
from docmill.errors import Failure, LeaseLost, Stopped
from docmill.heartbeat import Hold
from docmill.model import Job
from docmill.retry import RetryPolicy
from docmill.workplace import Ends, Following, Work, Workplace

log = logging.getLogger(__name__)


class Output(Protocol):
    """What a stage has made of a job, and not committed yet: so many rows."""

    @property
    def rows(self) -> int:
        """Pages, passages or vectors."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The two halves of a stage. What the first returns, the second takes with its like."""

    prepare: Callable[[Workplace, Work], Output]
    finish: Callable[[Workplace, Sequence[Any]], Ends]


STAGES: dict[str, Stage] = {
    "parse": Stage(parse_stage.prepare, parse_stage.finish),
    "chunk": Stage(chunk_stage.prepare, chunk_stage.finish),
    "embed": Stage(embed_stage.prepare, embed_stage.finish),
}
SETTLE_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Done:
    """The job ended in its own commit; `following` is claimed already."""

    following: Following | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed; whether another follows is the queue's decision."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class GaveBack:
    """The worker drains, or its database went away: somebody else may go on, at no cost."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The job is no longer this worker's: nothing may be written."""


Outcome = Done | Failed | GaveBack | Lost


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job whose work is done but for its last commit."""

    hold: Hold
    output: Output


def prepare(place: Workplace, hold: Hold, following: Following) -> Prepared | Outcome:
    """Do the work of a job in hand. Never raises: whatever happens is an outcome."""
    job = hold.job
    work = Work(job, hold.stop, pages=following.pages, chunks=following.chunks)
    try:
        return Prepared(hold, STAGES[job.stage].prepare(place, work))
    except Exception as error:  # noqa: BLE001 - whatever happens is an outcome
        return ended_by(error, hold)


def finish(place: Workplace, stage: str, prepared: Sequence[Prepared]) -> list[Outcome]:
    """Commit the ends of jobs of one stage, all of them in one commit. Never raises.

    Where that fails each has a commit of its own, for then one of them is at fault; but not where
    the database or an embedding service is away.
    """
    try:
        ends = STAGES[stage].finish(place, [one.output for one in prepared])
    except Exception as error:  # noqa: BLE001 - as above
        if len(prepared) == 1 or concerns_all(error):
            return [ended_by(error, one.hold) for one in prepared]
        log.info("%d jobs are ended one by one: %s", len(prepared), type(error).__name__)
        return [outcome for one in prepared for outcome in finish(place, stage, [one])]
    return [Done(ends[one.hold.job.id]) if one.hold.job.id in ends else Lost() for one in prepared]


def concerns_all(error: Exception) -> bool:
    """Whether whoever tried next would fail alike."""
    if isinstance(error, Failure):
        return error.kind.outage is not None
    return isinstance(error, psycopg.OperationalError)


def ended_by(error: Exception, hold: Hold) -> Outcome:  # noqa: PLR0911 - one per way it can end
    """What an error means for the attempt that it ended."""
    job = hold.job
    match error:
        case LeaseLost():
            return Lost()
        case Stopped():
            return Lost() if hold.lost else GaveBack()
        case Failure():
            return Failed(error)
        case psycopg.errors.DiskFull():
            return Failed(Failure("STORAGE_FULL", str(error).strip()))
        case psycopg.errors.ForeignKeyViolation():
            return Lost()  # the document was deleted between two statements of a commit
        case psycopg.OperationalError():
            log.warning("job %s is given back: %s", job.id, str(error).strip())
            return GaveBack()
    log.error("job %s of document %s failed", job.id, job.document_id, exc_info=error)
    return Failed(Failure("INTERNAL", f"{type(error).__name__} in the {job.stage} stage."))


def settle(
    database: WorkerDatabase,
    job: Job,
    outcome: Outcome,
    policy: RetryPolicy,
    *,
    service: str,
    hurry: threading.Event,
    until: float,
) -> None:
    """Write down how an attempt ended, where its stage did not.

    Tried again while the database is away, until a time of `time.monotonic`; by then the lease has
    run out and the reaper writes it down. Once `hurry` is set (the worker drains) one try does.
    """
    while True:
        try:
            return _settle_once(database, job, outcome, policy, service)
        except psycopg.OperationalError as error:
            log.warning("how job %s ended is not written yet: %s", job.id, str(error).strip())
        if hurry.wait(SETTLE_AGAIN_SECONDS) or time.monotonic() > until:
            return None


def _settle_once(
    database: WorkerDatabase, job: Job, outcome: Outcome, policy: RetryPolicy, service: str
) -> None:
    still_ours = False
    match outcome:
        case Done():
            return
        case Lost():
            pass
        case GaveBack():
            with database.commit("release") as connection:
                still_ours = job_queue.release(connection, job)
        case Failed(failure):
            state = _fail(database, job, failure, policy, service)
            log.info(
                "job %s (%s of document %s), attempt %s: %s, now %s",
                job.id, job.stage, job.document_id, job.attempt, failure, state or "lost",
            )  # fmt: skip
            still_ours = state is not None
    if not still_ours:
        log.info("lost job %s of document %s", job.id, job.document_id)


def _fail(
    database: WorkerDatabase, job: Job, failure: Failure, policy: RetryPolicy, service: str
) -> str | None:
    """The job's new state. In an outage it waits; a service that failed is left alone by all."""
    if failure.kind.outage:
        if failure.kind.outage == "embedder":
            embedding_service.pause(database, service, failure, policy)
        with database.commit("postpone") as connection:
            if job_queue.postpone(connection, job, failure, policy, service):
                return "waiting"
        failure = Failure(failure.code, failure.said, retryable=False)
    with database.commit("fail") as connection:
        return job_queue.fail(connection, job, failure, policy)
