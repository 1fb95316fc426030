"""docmill on four machines, what happens to them, and what must be true of every document after."""

import contextlib
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docmill import database
from docmill.database import Sync
from faults import Scene
from machines.network import Network
from running import Docmill, Started, until
from tcp_postgres import TcpPostgres, tcp_postgres
from witness import Outputs, long_pdf, outputs
from wrong_clock import FAKETIME, clock_told_by

LEASE_SECONDS = 2.0
SETTINGS = {
    "DOCMILL_LEASE_SECONDS": str(LEASE_SECONDS),
    "DOCMILL_BACKOFF_SECONDS": "0.1",
    "DOCMILL_BACKOFF_CAP_SECONDS": "1",
    "DOCMILL_POLL_SECONDS": "0.2",
    # What happens to machines says nothing about a document.
    "DOCMILL_MAX_ATTEMPTS": "100",
}
CUT_OFF, WITHOUT_POWER, WRONG_CLOCK, HEALTHY = 1, 2, 3, 4
MACHINES = (CUT_OFF, WITHOUT_POWER, WRONG_CLOCK, HEALTHY)
LONGEST_SECONDS = 900.0
PARAGRAPH = "Rain fell on the mill, and the wheel turned the stone all night long. "
KINDS = {
    "short.txt": b"one page, one passage",
    "long.txt": "\n\n".join(f"{n}. {PARAGRAPH * 12}" for n in range(60)).encode(),
    "short.pdf": long_pdf(20),
    "long.pdf": long_pdf(230),
}


@dataclass(frozen=True, slots=True)
class Report:
    """What the machines did, and what did not hold."""

    documents: int
    seconds: float
    cut_off_seconds: float
    back_seconds: float
    attempts: Counter[str]
    succeeded: Counter[str]
    violations: list[str]


@contextlib.contextmanager
def world() -> Iterator["World"]:
    """Machines with their workers, a database that they reach by the network, and an API."""
    with (
        Network() as network,
        tcp_postgres(listen=network.hub, within=network.on_hub()) as server,
        tempfile.TemporaryDirectory(prefix="docmill-machines-") as folder,
    ):
        api = Docmill(
            None, "--workers", "0", ready=False,
            env={**SETTINGS, "DOCMILL_DATABASE_URL": server.by_socket},
        )  # fmt: skip
        started = World(network, server, api, Path(folder))
        try:
            yield started
        finally:
            started.stop()


class World:
    """Everything that runs, and what was uploaded: the id and the kind of each document."""

    def __init__(self, network: Network, server: TcpPostgres, api: Docmill, folder: Path) -> None:
        self.network = network
        self.api = api
        self.admin = _sees_all(server.by_socket)
        self.documents: dict[str, str] = {}
        self._clock = folder / "clock"
        self._clock.write_text("+1h")
        address = database.addresses(server.address()).worker
        self.workers = {number: self._start(number, address) for number in MACHINES}

    def _start(self, number: int, address: str) -> Started:
        env = {**SETTINGS, "DOCMILL_WORKER_DATABASE_URL": address}
        if number == WRONG_CLOCK and FAKETIME is not None:
            env |= clock_told_by(self._clock)
        return Started("worker", env=env, within=self.network.plug(number))

    def stop(self) -> None:
        self.admin.close()
        for worker in self.workers.values():
            if worker.process.poll() is None:
                worker.kill()
        self.api.stop()

    def upload(self, count: int) -> None:
        """Upload so many more documents, the kinds in turns."""
        for _ in range(count):
            number = len(self.documents)
            kind = [*KINDS][number % len(KINDS)]
            document_id = self.api.upload(kind, KINDS[kind], external_id=str(number))
            self.documents[document_id] = kind

    def one(self, query: str, *parameters: object) -> dict[str, Any]:
        row = self.admin.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row

    def all_ended(self) -> bool:
        return bool(
            self.one("""select not exists (select from documents
                                where status in ('queued', 'processing')) as ended""")["ended"]
        )

    def holds(self, number: int) -> bool:
        """Whether a machine has a job in hand."""
        return bool(
            self.one(
                """select exists (select from processing_jobs where status = 'running'
                                and worker like %s) as held""",
                _of(number),
            )["held"]
        )

    def lost(self, number: int) -> int:
        """How many of a machine's jobs were taken from it."""
        count = "select count(*) as n from job_attempts where outcome = 'lease_expired'"
        return int(self.one(f"{count} and worker like %s", _of(number))["n"])

    def has_finished_since(self, number: int, when: object) -> bool:
        """Whether a machine began something after this moment and ended it well."""
        return bool(self.one("""select exists (select from job_attempts where worker like %s
                                and outcome = 'succeeded' and started_at > %s) as did""",
                             _of(number), when)["did"])  # fmt: skip

    def sessions(self, number: int) -> int:
        """How many sessions the server keeps for a machine."""
        return int(self.one("""select count(*) as n from pg_stat_activity
                               where client_addr = %s::inet""",
                            f"10.77.0.{number + 1}")["n"])  # fmt: skip

    # what happens ------------------------------------------------------------------------

    def cut_off_at_work(self, number: int) -> None:
        """Cut a machine off while it holds a job, and see to it that it gets one."""
        process = self.workers[number].process

        def look() -> bool:
            if self.all_ended():
                self.upload(len(MACHINES))
            process.send_signal(signal.SIGSTOP)
            if held := self.holds(number):
                self.network.cut(number)
                held = self.holds(number)  # else its end was on the wire already
                if not held:
                    self.network.mend(number)
            process.send_signal(signal.SIGCONT)
            return held

        until(look, f"machine {number} holds a job")

    def lose_power_at_work(self, number: int) -> None:
        """End a machine without a last word, not even one from its kernel to the server."""
        self.cut_off_at_work(number)
        self.workers[number].kill()


def suffer(world: World, documents: int) -> Report:
    """Let machines work on so many documents, fail, and come back; what it came to."""
    begun = time.monotonic()
    for number in MACHINES:
        world.workers[number].says("works on")
    world.upload(documents // 2)
    lost = world.lost(CUT_OFF)
    world.cut_off_at_work(CUT_OFF)
    cut = time.monotonic()
    world.lose_power_at_work(WITHOUT_POWER)
    world.upload(documents // 4)
    until(lambda: world.lost(CUT_OFF) > lost, "what the cut-off machine held is given to others")
    until(lambda: world.lost(WITHOUT_POWER) > 0, "so is what the dead one held")
    mended_at = world.one("select clock_timestamp() as now")["now"]
    world.network.mend(CUT_OFF)
    mended = time.monotonic()
    world.upload(documents - len(world.documents))

    def is_back() -> bool:
        world.upload(1)
        return world.has_finished_since(CUT_OFF, mended_at)

    until(is_back, "the cut-off machine goes on")
    back = time.monotonic()
    until(world.all_ended, "every document ends", LONGEST_SECONDS)
    ended = time.monotonic()
    until(lambda: world.sessions(WITHOUT_POWER) == 0, "the server gives up the dead machine")
    return Report(
        len(world.documents),
        ended - begun,
        mended - cut,
        back - mended,
        Counter({row["outcome"]: row["n"] for row in _counted(world.admin, "outcome")}),
        Counter({row["machine"]: row["n"] for row in _counted(world.admin, "machine")}),
        violations(world),
    )


def violations(world: World) -> list[str]:
    """What is not so and should be: of every document, its jobs, attempts and outputs."""
    scene = Scene(world.admin, "")
    found = [f"the trail of a job is not true: {row}" for row in scene.untrue_trails()]
    found += [
        f"a job succeeded {row['times']} times: {row['job_id']}"
        for row in world.admin.execute(
            """select job_id, count(*) filter (where outcome = 'succeeded') as times
               from job_attempts group by job_id
               having count(*) filter (where outcome = 'succeeded') <> 1"""
        ).fetchall()
    ]
    found += [
        f"a document is {row['status']}: {row['id']}"
        for row in world.admin.execute(
            "select id, status from documents where status <> 'completed'"
        ).fetchall()
    ]
    expected: dict[str, Outputs] = {}
    for document_id, kind in world.documents.items():
        kept = outputs(world.admin, document_id)
        if not kept.embeddings or kept != expected.setdefault(kind, kept):
            found.append(f"a {kind} has other outputs than the first one: {document_id}")
    return found


def _counted(admin: Sync, by: str) -> list[dict[str, Any]]:
    """Attempts by their outcome, or those that succeeded by machine."""
    what = {
        "outcome": "select outcome, count(*) as n from job_attempts group by outcome",
        "machine": "select split_part(worker, ':', 1) as machine, count(*) as n from job_attempts"
        " where outcome = 'succeeded' group by 1 order by 1",
    }
    return admin.execute(what[by].encode()).fetchall()


def _sees_all(url: str) -> Sync:
    admin = database.connect(url, autocommit=True)
    admin.execute("select set_config('search_path', 'docmill, extensions', false)")
    return admin


def _of(number: int) -> str:
    return f"machine-{number}:%"
