"""A worker: claims due jobs as it has slots free, runs them, reaps what lost workers left.

The loop is the whole of it: reap, claim, run, wait. `run_until_stopped` is `docmill worker`,
`run_what_is_due` is one cron tick; both are the same loop with another reason to end.
"""

import logging
import os
import queue
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
from prometheus_client.metrics_core import Metric as Family
from psycopg_pool import PoolTimeout

from docmill import (
    attempt,
    delivery,
    documents,
    job_queue,
    logs,
    migrate,
    retention,
    sampling,
    vector_index,
)
from docmill.carrying import GROUP, Carrier, dealt, said_of
from docmill.config import Settings
from docmill.database import Statements, WorkerDatabase
from docmill.delivery import Delivery
from docmill.embed import Embedder
from docmill.errors import Failure, Unavailable
from docmill.heartbeat import BEATS_PER_LEASE, Heartbeat, Hold
from docmill.job_queue import WEIGHED_BYTES, WEIGHED_BYTES_IN_CALLS, Claimant
from docmill.measures import Samples, family, of_process
from docmill.model import Job
from docmill.outgoing import Reach
from docmill.parse_process import ParseLimits, ParseProcess, parser_zygote
from docmill.retention import Keep
from docmill.retry import RetryPolicy
from docmill.spool import Spool
from docmill.wakeup import WakeUp
from docmill.workplace import Workplace
from docmill.zygote import Forks

log = logging.getLogger(__name__)

WORKERS = Statements("workers")
AWAY_SECONDS = 1.0
# While a worker has work in hand it asks for more small documents only so often: those that come
# one by one are a group by then. An idle one asks at once.
GATHER_SECONDS = 0.1
LONGEST_REAPING_PAUSE = 2.0
# Of a lease; one and a half beats. Who lost its session and says nothing for so long is dead.
SILENCE_OF_THE_DEAD = 1.5 / BEATS_PER_LEASE


@dataclass(slots=True)
class Tally:
    """What one tick did."""

    claimed: int = 0
    finished: int = 0
    released: int = 0
    reaped: int = 0
    remaining: int = 0


def new_worker_id() -> str:
    """Host, process and a random part: unique even where machines share a name."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


class Worker:
    """One worker process: `slots` jobs at once, one heartbeat, one listener.

    Its parsers come from `zygote`, or else from one of its own.
    """

    def __init__(
        self, settings: Settings, address: str, embedder: Embedder, zygote: Forks | None = None
    ) -> None:
        self.id = new_worker_id()
        self._settings = settings
        self._embedder = embedder
        self._zygote = zygote or parser_zygote()
        self._claimant = Claimant(self.id, settings.lease_seconds)
        self._policy = RetryPolicy(
            settings.backoff_seconds,
            settings.backoff_cap_seconds,
            settings.outage_patience_seconds,
        )
        self._keep = Keep.of(settings)
        self._database = WorkerDatabase(address, connections=settings.slots + 3)
        self._weighed_bytes = WEIGHED_BYTES if embedder.batch is None else WEIGHED_BYTES_IN_CALLS
        self._heartbeat = Heartbeat(address, self._claimant, settings.slots)
        self._wakeup = WakeUp(address)
        self._spool = Spool(self._database)
        self._places: queue.SimpleQueue[Workplace] = queue.SimpleQueue()
        reach = Reach(private=settings.webhook_targets == "private")
        self._delivery = Delivery(self._database, self.id, reach, self._wakeup.now)
        self._slots = ThreadPoolExecutor(settings.slots, thread_name_prefix="slot")
        self._running: set[Future[None]] = set()
        self._draining = threading.Event()
        self._tally = Tally()
        self._counting = threading.Lock()
        self._carrier = Carrier(
            self._database,
            self._heartbeat,
            policy=self._policy,
            claimant=self._claimant,
            service=embedder.name,
            draining=self._draining,
            ended=self._count,
        )
        self._next_reaping = 0.0
        self._gathering_until = 0.0
        self._served: UUID = uuid4()  # whose turn was the last; anybody's, to begin with
        self._idle = False

    def measured(self) -> Iterator[Family]:
        """What the process tells of itself; asked from another thread."""
        busy = len(self._heartbeat.held())
        slots: Samples = {("busy",): busy, ("free",): max(0, self._settings.slots - busy)}
        yield family("docmill_worker_slots", slots)
        yield from of_process(self._database.pool_stats())

    def stop(self) -> None:
        """Ask the worker to drain: claim nothing more, finish or give back what it holds."""
        self._draining.set()
        self._wakeup.now()

    def run_until_stopped(self) -> None:
        """Work until `stop` is called.

        Raises:
            Unavailable: the schema was changed under it, to one that it can't work on. What it
                held is finished or given back.
        """
        with _Opened(self):
            try:
                while not self._draining.is_set():
                    self._step()
            finally:
                self._drain(self._settings.drain_seconds)

    def _step(self) -> None:
        """One round: reap, deliver, claim, and wait where nothing was there to claim."""
        self._away_is_no_end(self._reap_when_it_is_time)
        self._away_is_no_end(self._deliver)
        claimed = self._away_is_no_end(self._claim) or 0
        if claimed == 0 and not self._draining.is_set():
            self._away_is_no_end(self._say_idle)
            # Not slept through, however seldom it looks for work: nobody tells of leases that end.
            until_reaping = self._next_reaping - time.monotonic()
            self._wakeup.wait(max(0.0, min(self._pause(), until_reaping)))

    def run_what_is_due(self, seconds: float) -> Tally:
        """Work until nothing is due or the time is up; one cron tick.

        Never waits for a job that is due later. What is not finished in time is given back at no
        cost, with what was committed of it kept.
        """
        ends = time.monotonic() + seconds
        with _Opened(self):
            self._reap()
            self._tidy(of_tick=True)
            while not self._draining.is_set() and time.monotonic() < ends:
                if self._claim() + self._deliver() == 0 and not self._is_busy():
                    break
                self._wakeup.wait(min(self._pause(), ends - time.monotonic()))
            left = max(0.0, ends - time.monotonic())
            told_to_stop = self._draining.is_set()
            self._drain(min(left, self._settings.drain_seconds) if told_to_stop else left)
            with self._database.reading() as connection:
                due = job_queue.count_due(connection, self._embedder.name)
                self._tally.remaining = due + delivery.count_due(connection)
        return self._tally

    # the steps of the loop ---------------------------------------------------------------

    def _claim(self) -> int:
        self._running = {future for future in self._running if not future.done()}
        if self._heartbeat.is_drained:
            return 0
        free = self._settings.slots - len(self._running)
        if free <= 0 or self._gathers() > 0:
            return 0
        with self._database.commit("claim") as connection:
            jobs = job_queue.claim(
                connection,
                self._claimant,
                free,
                self._embedder.name,
                self._served,
                group=GROUP,
                weighed_bytes=self._weighed_bytes,
            )
        for group in dealt(jobs, free):
            # Held before their turn comes: a group's last job waits for those before it.
            holds = [self._heartbeat.hold(job) for job in group]
            self._running.add(self._slots.submit(self._carry, holds))
        if jobs:
            self._served = jobs[-1].owner_id
            # So little, and all of it small: nothing else is waiting now.
            if sum(job.weight for job in jobs) < GROUP // 4:
                self._gathering_until = time.monotonic() + GATHER_SECONDS
        self._tally.claimed += len(jobs)
        if jobs and self._idle:
            self._set_idle(idle=False)
        return len(jobs)

    def _gathers(self) -> float:
        """For how many seconds more small documents may come together before the next claim."""
        return self._gathering_until - time.monotonic() if self._running else 0.0

    def _pause(self) -> float:
        """How long to wait at most, where nothing was there to claim."""
        gathers = self._gathers()
        return gathers if gathers > 0 else self._settings.poll_seconds

    def _deliver(self) -> int:
        """Send what webhooks are to be told. Their threads are their own: no document waits."""
        return 0 if self._heartbeat.is_drained else self._delivery.claim()

    def _is_busy(self) -> bool:
        return bool(self._running) or self._delivery.is_busy

    def _say_idle(self) -> None:
        """Ask to be woken, then look once more: work may have come just before we asked."""
        if not self._idle and not self._running and not self._heartbeat.is_drained:
            self._set_idle(idle=True)
            self._claim()

    def _set_idle(self, *, idle: bool) -> None:
        with self._database.commit("idle") as connection:
            connection.execute(WORKERS.idle, {"id": self.id, "idle": idle})
        self._idle = idle

    def _reap_when_it_is_time(self) -> None:
        if time.monotonic() >= self._next_reaping:
            # With chance in it: workers that started together reap in turns.
            longest = min(LONGEST_REAPING_PAUSE, self._settings.lease_seconds / 2)
            pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            self._next_reaping = time.monotonic() + pause
            self._check_schema()
            self._reap()
            self._tidy()

    def _check_schema(self) -> None:
        """Stop where somebody upgraded the database beyond what this docmill can work on."""
        with self._database.reading() as connection:
            if reason := migrate.why_unfit(connection):
                raise Unavailable(reason)

    def _reap(self) -> None:
        with self._database.commit("reap") as connection:
            dead = connection.execute(
                WORKERS.notice_dead, {"silence": self._settings.lease_seconds * SILENCE_OF_THE_DEAD}
            ).fetchall()
            reaped = job_queue.reap(connection, self._policy)
            lost = job_queue.lost_for_good(connection)
            delivery.reap(connection)
        for row in dead:
            log.warning("worker %s died", row["id"])
        for row in reaped:
            with logs.about(document_id=row["document_id"], job_id=row["id"]):
                log.warning("job %s goes back in line: %s is lost", row["id"], row["worker"])
        for job in lost:
            with logs.about(**said_of(job)):
                self._fail_lost(job)
        self._tally.reaped += len(reaped) + len(lost)

    def _tidy(self, *, of_tick: bool = False) -> None:
        """Drop what is needed no longer, write down how the queue stands, index vectors."""
        with self._database.commit("prune") as connection:
            retention.prune(connection, self._keep)
        with self._database.commit("sweep") as connection:
            retention.sweep_in_turn(connection, self._keep)
        with self._database.commit("sample") as connection:
            sampling.sample(connection)
            if of_tick:
                connection.execute(WORKERS.note_tick)
        with self._database.commit("index_vectors") as connection:
            vector_index.index_some(connection)

    def _fail_lost(self, job: Job) -> None:
        detail = f"Its worker was lost on each of {job.max_attempts} tries."
        failure = Failure("WORKER_LOST", detail)
        with self._database.commit("fail_lost") as connection:
            job_queue.fail_for_good(connection, job, failure, expired=True)

    def _carry(self, holds: Sequence[Hold]) -> None:
        """Work on a group of jobs, and on what follows from them, at one of the places."""
        place = self._places.get_nowait()
        try:
            self._carrier.carry(place, holds)
        finally:
            self._places.put(place)
            self._wakeup.now()

    def _count(self, outcome: attempt.Outcome) -> None:
        with self._counting:
            self._tally.finished += isinstance(outcome, attempt.Done)
            self._tally.released += isinstance(outcome, attempt.GaveBack)

    def _drain(self, seconds: float) -> None:
        """Let what runs end within this time, then have it given back, and wait for that."""
        self._draining.set()
        ends = time.monotonic() + seconds
        while self._still_running() and time.monotonic() < ends:
            self._wakeup.wait(min(0.1, seconds))
        for hold in self._heartbeat.held():
            hold.stop.set()
        self._slots.shutdown(wait=True)
        self._delivery.drain(max(0.0, ends - time.monotonic()))

    def _still_running(self) -> bool:
        return any(not future.done() for future in self._running)

    def _away_is_no_end(self, step: Callable[[], int | None]) -> int | None:
        """Run a step of the loop; a database that is away is waited for, not died of."""
        try:
            return step()
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("the database is away: %s", str(error).strip())
            self._draining.wait(AWAY_SECONDS)
            return None
        except Exception:
            self._check_schema()  # what the step relies on may be there no more
            raise

    # opening and closing -----------------------------------------------------------------

    def open(self) -> None:
        """Warm up: find the model, start parsers, heartbeat and listener."""
        model = documents.find_model(self._database, self._embedder.name)
        if model is None:
            raise Unavailable(
                f"The database knows no model {self._embedder.name}. Run `docmill migrate`."
            )
        for _ in range(self._settings.slots):
            parser = ParseProcess(_limits(self._settings), self._zygote)
            place = Workplace(
                self._database, self._claimant, parser, self._spool, self._embedder, model["id"]
            )
            self._slots.submit(self._warm_up, place)
        self._heartbeat.start()
        self._wakeup.start()
        log.info("worker %s works on %d jobs at once", self.id, self._settings.slots)

    def _warm_up(self, place: Workplace) -> None:
        """Nobody works at a place before its parser was asked for: it is for one at a time."""
        try:
            place.parser.start()
        finally:
            self._places.put(place)

    def close(self) -> None:
        """End what `open` started; jobs have been drained before."""
        self._wakeup.stop()
        self._heartbeat.stop()
        while not self._places.empty():
            self._places.get_nowait().parser.close()
        self._zygote.close()
        self._spool.close()
        self._database.close()
        self._embedder.close()


class _Opened:
    """A worker that is open for the length of a block."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __enter__(self) -> None:
        self._worker.open()

    def __exit__(self, *_: object) -> None:
        self._worker.close()


def _limits(settings: Settings) -> ParseLimits:
    return ParseLimits(
        memory_bytes=settings.parse_memory_bytes,
        seconds=settings.parse_seconds,
        stall_seconds=settings.parse_stall_seconds,
        output_bytes=settings.max_upload_bytes,  # a text file that was taken must fit
    )
