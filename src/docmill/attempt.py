"""One attempt at a job: run its stage, and write down how it ended.

How it ended is a value; only `settle` acts on it. A stage that succeeded has committed its own end,
for that is one commit with its output.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from docmill import chunk_stage, embed_stage, embedding_service, job_queue, parse_stage
from docmill.database import WorkerDatabase
from docmill.errors import Failure, LeaseLost, Stopped
from docmill.heartbeat import Hold
from docmill.model import Job
from docmill.retry import RetryPolicy
from docmill.workplace import Following, Work, Workplace

log = logging.getLogger(__name__)

Stage = Callable[[Workplace, Work], Following | None]
STAGES: dict[str, Stage] = {
    "parse": parse_stage.run,
    "chunk": chunk_stage.run,
    "embed": embed_stage.run,
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


def run(  # noqa: PLR0911 - one return per way an attempt can end
    place: Workplace, hold: Hold, following: Following | None = None
) -> Outcome:
    """Run the stage of a job in hand. Never raises: whatever happens is an outcome."""
    job = hold.job
    work = Work(
        job,
        hold.stop,
        pages=following.pages if following else None,
        chunks=following.chunks if following else None,
    )
    try:
        return Done(STAGES[job.stage](place, work))
    except LeaseLost:
        return Lost()
    except Stopped:
        return Lost() if hold.lost else GaveBack()
    except Failure as failure:
        return Failed(failure)
    except psycopg.errors.DiskFull as error:
        return Failed(Failure("STORAGE_FULL", str(error).strip()))
    except psycopg.errors.ForeignKeyViolation:
        return Lost()  # the document was deleted between two statements of a commit
    except psycopg.OperationalError as error:
        log.warning("job %s is given back: %s", job.id, str(error).strip())
        return GaveBack()
    except Exception as error:
        log.exception("job %s of document %s failed", job.id, job.document_id)
        return Failed(Failure("INTERNAL", f"{type(error).__name__} in the {job.stage} stage."))


def settle(
    database: WorkerDatabase,
    job: Job,
    outcome: Outcome,
    policy: RetryPolicy,
    *,
    service: str,
    hurry: threading.Event,
    seconds: float,
) -> None:
    """Write down how an attempt ended, where its stage did not.

    Tried again while the database is away, for so many seconds; after that the lease has run out
    and the reaper writes it down. Once `hurry` is set (the worker drains) one try has to do.
    """
    ends = time.monotonic() + seconds
    while True:
        try:
            return _settle_once(database, job, outcome, policy, service)
        except psycopg.OperationalError as error:
            log.warning("how job %s ended is not written yet: %s", job.id, str(error).strip())
        if hurry.wait(SETTLE_AGAIN_SECONDS) or time.monotonic() > ends:
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
