"""What a slot does with the jobs it was given: each goes through its stages, to the document's end.

Small documents come as a group. The work of each is done by itself, one after the other; what came
out of it is committed for all of them together, once per stage, because a commit and its statements
cost as much for one of them as for many. A group that takes long is parted: what is done is
committed, and goes through its next stages before the others begin.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import Span, SpanKind

from docmill import attempt, logs, tracing
from docmill.attempt import Outcome, Prepared
from docmill.database import WorkerDatabase
from docmill.heartbeat import Heartbeat, Hold
from docmill.job_queue import Claimant
from docmill.model import Job
from docmill.retry import RetryPolicy
from docmill.workplace import Following, Workplace

log = logging.getLogger(__name__)

# Jobs in a group at most: what a kill of the worker throws back. A queue of jobs without work goes
# 1.3 times as fast by 32 as by 16, and 1.65 times by 64.
GROUP = 64
# What is done is committed by then, for who watches one of the documents, and against a crash.
GROUP_SECONDS = 0.5
# And so many pages, passages or vectors are enough to be worth a commit.
GROUP_ROWS = 128


@dataclass(frozen=True, slots=True)
class Step:
    """A job whose turn has come, and its span, which ends with the attempt."""

    hold: Hold
    span: Span

    @property
    def job(self) -> Job:
        """The job."""
        return self.hold.job


# Jobs in hand whose turn has not come, each with what it goes on with.
Waiting = deque[tuple[Hold, Following]]


def dealt(jobs: Sequence[Job], slots: int) -> list[list[Job]]:
    """The claimed jobs as groups, one for a slot: dealt out evenly by their weight, or alone."""
    alone = [[job] for job in jobs if not _shares(job)]
    sharing = [job for job in jobs if _shares(job)]
    full = -(-sum(job.weight for job in sharing) // GROUP)
    groups: list[list[Job]] = [[] for _ in range(max(min(len(sharing), slots - len(alone)), full))]
    weights = [0] * len(groups)
    for job in sharing:
        lightest = weights.index(min(weights))
        groups[lightest].append(job)
        weights[lightest] += job.weight
    return alone + groups


def _shares(job: Job) -> bool:
    """Whether a job is one of a group."""
    return job.weight < GROUP


class Carrier:
    """Carries jobs of one worker. Used by all its slots at once, each with its own place."""

    def __init__(
        self,
        database: WorkerDatabase,
        heartbeat: Heartbeat,
        *,
        policy: RetryPolicy,
        claimant: Claimant,
        service: str,
        draining: threading.Event,
        ended: Callable[[Outcome], None],
    ) -> None:
        self._database = database
        self._heartbeat = heartbeat
        self._policy = policy
        self._claimant = claimant
        self._service = service
        self._draining = draining
        self._ended = ended  # told of each attempt's end, by the slot's thread

    def carry(self, place: Workplace, holds: Sequence[Hold]) -> None:
        """Take jobs of one stage, and those that follow from them, to their ends."""
        files = [
            hold.job.file_id for hold in holds if _shares(hold.job) and hold.job.stage == "parse"
        ]
        groups = [deque((hold, Following(hold.job)) for hold in holds)]
        try:
            with place.spool.files(files):
                while groups:
                    following = self._try(place, groups[-1])
                    groups = [rest for rest in (*groups, following) if rest]
        finally:
            for hold in holds:
                self._heartbeat.let_go(hold)

    def _try(self, place: Workplace, group: Waiting) -> Waiting:
        """Try jobs from the front of the group until its time is up; returns what follows."""
        ready: list[tuple[Step, Prepared]] = []
        rows = 0
        parted = time.monotonic() + GROUP_SECONDS
        while group and rows < GROUP_ROWS and (not ready or time.monotonic() < parted):
            hold, following = group.popleft()
            step = self._begin(hold)
            with self._about(step.job), tracing.inside(step.span):
                prepared = attempt.prepare(place, hold, following)
            if isinstance(prepared, Prepared):
                ready.append((step, prepared))
                rows += prepared.output.rows
            else:
                self._end(step, prepared, self._patience())
        return self._finish(place, ready) if ready else deque()

    def _finish(self, place: Workplace, ready: Sequence[tuple[Step, Prepared]]) -> Waiting:
        """Commit the ends of jobs; returns what follows."""
        steps = [step for step, _ in ready]
        first = steps[0]
        # What is done for all of them stands in the trace of the first.
        with self._about(*(step.job for step in steps)), tracing.inside(first.span):
            outcomes = attempt.finish(place, first.job.stage, [one for _, one in ready])
        following: Waiting = deque()
        until = self._patience()  # for all of them: each would wait as long otherwise
        for step, outcome in zip(steps, outcomes, strict=True):
            if isinstance(outcome, attempt.Done) and outcome.following:
                next_hold = self._heartbeat.hold(outcome.following.job)
                following.append((next_hold, outcome.following))
            self._end(step, outcome, until)
        return following

    def _patience(self) -> float:
        """Until when the end of an attempt is worth writing down: then its lease has run out."""
        return time.monotonic() + self._claimant.lease_seconds

    def _end(self, step: Step, outcome: Outcome, until: float) -> None:
        """Write down how an attempt ended, where its stage did not, and let go of the job."""
        with self._about(step.job):
            tell(step.span, outcome)
            try:
                attempt.settle(
                    self._database,
                    step.job,
                    outcome,
                    self._policy,
                    service=self._service,
                    hurry=self._draining,
                    until=until,
                )
            except Exception:
                # The others of its group go on. Without a beat its lease ends, and it is reaped.
                log.exception("how job %s ended could not be written", step.job.id)
            finally:
                self._heartbeat.let_go(step.hold)
                step.span.end()
        self._ended(outcome)

    def _begin(self, hold: Hold) -> Step:
        job = hold.job
        if self._draining.is_set():
            hold.stop.set()
        span = tracing.start(job.stage, SpanKind.CONSUMER, job.traceparent, **traced_of(job))
        return Step(hold, span)

    def _about(self, *jobs: Job) -> AbstractContextManager[None]:
        """Say with every line that is logged which job it is about, where it is one."""
        said = said_of(jobs[0]) if len(jobs) == 1 else {"stage": jobs[0].stage}
        return logs.about(**said, worker=self._claimant.worker)


def said_of(job: Job) -> dict[str, Any]:
    """What every line that is logged for a job says of it."""
    return {
        "document_id": job.document_id,
        "job_id": job.id,
        "owner_id": job.owner_id,
        "stage": job.stage,
        "part": job.part,
        "attempt": job.attempt,
        "trace_id": tracing.trace_id(job.traceparent),
    }


def traced_of(job: Job) -> dict[str, Any]:
    """What the span of an attempt says of it; the trace is the document's, so no owner is named."""
    return {
        "document_id": str(job.document_id),
        "job_id": job.id,
        "stage": job.stage,
        "part": job.part,
        "attempt": job.attempt,
        "waited_seconds": job.seconds_waited,
    }


def tell(span: Span, outcome: Outcome) -> None:
    """Say in the span of an attempt how it ended."""
    match outcome:
        case attempt.Done():
            span.set_attribute("docmill.outcome", "succeeded")
        case attempt.Failed(failure):
            span.set_attribute("docmill.outcome", "failed")
            tracing.fail(span, failure.code, failure.kind.title)
        case attempt.GaveBack():
            span.set_attribute("docmill.outcome", "released")
        case attempt.Lost():
            span.set_attribute("docmill.outcome", "lost")
