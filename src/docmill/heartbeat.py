"""The sign of life: one thread, with a connection of its own, renews the leases of a worker's jobs.

Parsing and embedding may keep a worker's threads busy for minutes; a lease renewed from there would
run out while its work goes well (that is how other queues come to run a job twice). This thread
does nothing else, so as long as the process lives, its leases do.
"""

import logging
import threading
from dataclasses import dataclass, field

import psycopg

from docmill import failpoint, job_queue
from docmill.database import Statements, Sync, connect
from docmill.model import Job

log = logging.getLogger(__name__)

STATEMENTS = Statements("workers")
BEATS_PER_LEASE = 5


@dataclass(slots=True)
class Hold:
    """A job in hand, and the way to tell its work to stop."""

    job: Job
    stop: threading.Event = field(default_factory=threading.Event)
    lost: bool = False


class Heartbeat:
    """Beats for the jobs in hand and for the worker itself until it is stopped.

    A job that is no longer held (taken over, cancelled, deleted) gets its `stop` set within a beat,
    a fifth of the lease.
    """

    def __init__(self, address: str, claimant: job_queue.Claimant, slots: int) -> None:
        self._address = address
        self._claimant = claimant
        self._slots = slots
        self._holds: dict[int, Hold] = {}
        self._lock = threading.Lock()
        self._drained = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Say that the worker is here, and go on saying so."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and take the worker off the list."""
        self._ended.set()
        self._thread.join()

    def hold(self, job: Job) -> Hold:
        """Beat for this job from now on."""
        hold = Hold(job)
        with self._lock:
            self._holds[job.id] = hold
        return hold

    def let_go(self, hold: Hold) -> None:
        """Beat for this job no longer: it has ended."""
        with self._lock:
            self._holds.pop(hold.job.id, None)

    def held(self) -> list[Hold]:
        """The jobs in hand now."""
        with self._lock:
            return list(self._holds.values())

    @property
    def is_drained(self) -> bool:
        """Whether an operator wants this worker to claim nothing for now, as of the last beat."""
        return self._drained.is_set()

    def _run(self) -> None:
        connection: Sync | None = None
        pause = self._claimant.lease_seconds / BEATS_PER_LEASE
        while True:
            try:
                connection = connection or connect(self._address, autocommit=True)
                self._beat(connection)
            except Exception as error:
                # Without the database nobody else can take the jobs either; try again next time.
                # A defect must not end the beat: a worker without one would go on and lose all.
                is_away = isinstance(error, psycopg.Error)
                log.warning("no beat: %s", str(error).strip(), exc_info=not is_away)
                if connection is not None:
                    connection.close()
                connection = None
            if self._ended.wait(pause):
                break
        _take_off_the_list(connection, self._claimant.worker)

    def _beat(self, connection: Sync) -> None:
        self._say_seen(connection)
        holds = self.held()
        if not holds:
            return
        jobs = [hold.job for hold in holds]
        with failpoint.around("beat"):
            kept = job_queue.beat(connection, jobs, self._claimant.lease_seconds)
        for hold in holds:
            if hold.job.id not in kept:
                self._lose(hold)

    def _say_seen(self, connection: Sync) -> None:
        seen = {
            "id": self._claimant.worker,
            "slots": self._slots,
            "greeted_by": connection.info.backend_pid,
        }
        row = connection.execute(STATEMENTS.seen, seen).fetchone()
        if row is not None and row["draining"]:
            self._drained.set()
        else:
            self._drained.clear()

    def _lose(self, hold: Hold) -> None:
        with self._lock:
            still_held = self._holds.get(hold.job.id) is hold
        if still_held:
            hold.lost = True
            hold.stop.set()


def _take_off_the_list(connection: Sync | None, worker: str) -> None:
    if connection is None:
        return
    try:
        with failpoint.around("leave"):
            connection.execute(STATEMENTS.gone, {"id": worker})
    except psycopg.Error as error:
        log.debug("the worker stays on the list until it is pruned: %s", error)
    connection.close()
