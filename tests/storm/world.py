"""docmill as it is run for real, and everything that may happen to its processes."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg

from docmill import database, embedded_postgres
from running import Started, until
from storm.history import History
from wrong_clock import FAKETIME, clock_told_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from docmill.embedded_postgres import EmbeddedPostgres

ZYGOTES_TURN = 0.25
LEASE_SECONDS = 2.0
SETTINGS = {
    "DOCMILL_LEASE_SECONDS": str(LEASE_SECONDS),
    "DOCMILL_BACKOFF_SECONDS": "0.1",
    "DOCMILL_BACKOFF_CAP_SECONDS": "1",
    "DOCMILL_POLL_SECONDS": "0.2",
    "DOCMILL_DRAIN_SECONDS": "1",
    # Kills are many here and say nothing about a document: none may run out of attempts by them.
    "DOCMILL_MAX_ATTEMPTS": "100",
}
WORKERS = 3
# What a process says once it listens to signals: one that is told to end before that ends by them,
# and holds nothing yet.
LISTENS = ("works on", "docmill serves")
# libfaketime 0.9.10 sometimes makes a sleep fail whose length it can't express. Nothing else does.
FAKED_SLEEP = re.compile(
    r"Traceback \(most recent call last\):\n(?:  .*\n)*"
    r"    time\.sleep\(.*\n(?: .*\n)?OSError: \[Errno 22\] Invalid argument\n?"
)
FAULTS = {
    "worker killed": 5,
    "worker frozen": 3,
    "worker drained": 2,
    "parser killed": 2,
    "api killed": 2,
    "backend ended": 4,
    "all backends ended": 1,
    "postgres stopped": 1,
    "postgres immediate": 1,
    "postgres killed": 1,
    "disk full": 1,
    "clock shifted": 2,
}
# The data lie on a disk of their own, where we may mount one, so that it can be filled.
DISK_BYTES = 2 << 30
BALLAST_BYTES = 16 << 20
FULL_SECONDS = (1.0, 3.0)
SHIFTS = ("+0", "+1h", "-1h", "+400d", "-9s")


class World:
    """One database, one API, some workers: started again whenever they are struck down."""

    def __init__(self, folder: Path, rng: random.Random, history: History) -> None:
        self._folder = folder
        self._rng = rng
        self._history = history
        self._clock = folder / "clock"
        self._clock.write_text("+0")
        self._disk = _mounted(folder / "disk")
        self.postgres: EmbeddedPostgres = embedded_postgres.start(self._data)
        self.url = self.postgres.admin_url
        self.port = free_port()
        self.counts: Counter[str] = Counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._strike_on, daemon=True)
        self.api = self._start_api()
        self.workers = [self._start_worker() for _ in range(WORKERS)]
        self.defects: list[str] = []

    @property
    def _data(self) -> Path:
        return (self._disk or self._folder) / "data"

    def strike(self) -> None:
        """Let faults begin."""
        self._thread.start()

    def calm(self) -> None:
        """Let faults end, and everything run again."""
        self._ended.set()
        self._thread.join()
        self.mend()

    def stop(self) -> None:
        for process in [self.api, *self.workers]:
            process.process.send_signal(signal.SIGCONT)
            status = process.terminate()
            self.look_at(process)
            if status != 0 and listened(process):
                self.defects.append(f"a process ended with {status}: {process.said[-3:]}")
        self.postgres.stop()
        if self._disk:
            subprocess.run(["umount", str(self._disk)], check=True)

    def look_at(self, process: Started) -> None:
        """A traceback in a log is a defect, whatever it did."""
        text = FAKED_SLEEP.sub("", "\n".join(process.said))
        if "Traceback" in text:
            self.defects.append(text[text.index("Traceback") :][:3000])

    # faults ------------------------------------------------------------------------------

    def _strike_on(self) -> None:
        strikes: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "worker frozen": self._freeze_worker,
            "worker drained": self._drain_worker,
            "parser killed": self._kill_parser,
            "api killed": self._kill_api,
            "backend ended": lambda: self._end_backends(1),
            "all backends ended": lambda: self._end_backends(100),
            "postgres stopped": lambda: self._stop_postgres(signal.SIGINT),
            "postgres immediate": lambda: self._stop_postgres(signal.SIGQUIT),
            "postgres killed": lambda: self._stop_postgres(signal.SIGKILL),
            "disk full": self._fill_disk,
            "clock shifted": self._shift_clock,
        }
        missing = {"disk full"} if self._disk is None else set()
        missing |= {"clock shifted"} if FAKETIME is None else set()
        chosen = {fault: weight for fault, weight in FAULTS.items() if fault not in missing}
        while not self._ended.wait(self._rng.uniform(0.2, 1.5)):
            fault = self._rng.choices([*chosen], [*chosen.values()])[0]
            self.tell(fault)
            try:
                strikes[fault]()
            except Exception as error:  # noqa: BLE001 - whatever it was, the storm says so at its end
                self.defects.append(f"{fault}: {error!r}")
            self.mend()

    def tell(self, fault: str) -> None:
        self.counts[fault] += 1
        self._history.add_fault(time.monotonic(), fault)

    def mend(self) -> None:
        """Start again what is not there."""
        if self.postgres.has_died():
            self.postgres.stop()
            self.postgres = embedded_postgres.start(self._data)
        if self.api.process.poll() is not None:
            self.api.wait()
            self.look_at(self.api)
            self.api = self._start_api()
        for at, worker in enumerate(self.workers):
            if worker.process.poll() is not None:
                worker.wait()
                self.look_at(worker)
                self.workers[at] = self._start_worker()

    def _kill_worker(self) -> None:
        self._rng.choice(self.workers).kill()

    def _freeze_worker(self) -> None:
        worker = self._rng.choice(self.workers).process
        worker.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS * self._rng.uniform(0.5, 2.5))
        worker.send_signal(signal.SIGCONT)

    def _drain_worker(self) -> None:
        worker = self._rng.choice(self.workers)
        status = worker.terminate()
        if status != 0 and listened(worker):
            self.defects.append(f"a drained worker ended with {status}: {worker.said[-5:]}")

    def _kill_parser(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for zygote in psutil.Process(self._rng.choice(self.workers).process.pid).children():
                # Now and then it is the one that they are forked from.
                unlucky = [zygote] if self._rng.random() < ZYGOTES_TURN else zygote.children()
                for process in unlucky:
                    process.kill()

    def _kill_api(self) -> None:
        self.api.kill()

    def _end_backends(self, most: int) -> None:
        with (
            contextlib.suppress(psycopg.OperationalError),
            database.connect(self.url, autocommit=True) as connection,
        ):
            connection.execute(
                "select pg_terminate_backend(pid) from (select pid from pg_stat_activity"
                " where application_name like 'docmill%%' and pid <> pg_backend_pid()"
                " order by random() limit %s) as unlucky",
                [most],
            )

    def _stop_postgres(self, number: signal.Signals) -> None:
        line = (self._data / "postgres" / "postmaster.pid").read_text().splitlines()[0]
        server = psutil.Process(int(line))
        os.kill(server.pid, number)
        with contextlib.suppress(psutil.TimeoutExpired):
            server.wait(30)
        time.sleep(self._rng.uniform(0.0, 2.0))
        self.postgres.stop()
        self.postgres = embedded_postgres.start(self._data)

    def _shift_clock(self) -> None:
        self._clock.write_text(self._rng.choice(SHIFTS))

    def _fill_disk(self) -> None:
        assert self._disk is not None
        ballast = self._disk / "ballast"
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:  # until there is no more room
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), BALLAST_BYTES)
                file.seek(BALLAST_BYTES, os.SEEK_CUR)
        time.sleep(self._rng.uniform(*FULL_SECONDS))
        ballast.unlink()

    # starting ----------------------------------------------------------------------------

    def _start_api(self) -> Started:
        env = {**SETTINGS, **self._clock_of_processes(), "DOCMILL_DATABASE_URL": self.url}
        api = Started("serve", "--port", str(self.port), "--workers", "0", env=env)
        until(
            lambda: "docmill serves" in "\n".join(api.said) or api.process.poll() is not None,
            "the API is there",
        )
        return api

    def _start_worker(self) -> Started:
        address = database.addresses(self.url).worker
        clock = self._clock_of_processes()
        return Started("worker", env={**SETTINGS, **clock, "DOCMILL_WORKER_DATABASE_URL": address})

    def _clock_of_processes(self) -> dict[str, str]:
        """For most processes, what makes the file `clock` shift the time that they read."""
        if FAKETIME is None or self._rng.random() < 1 / 3:
            return {}
        return clock_told_by(self._clock)


def listened(process: Started) -> bool:
    """Whether it had come so far that it listened to signals."""
    return any(word in line for line in process.said for word in LISTENS)


def _mounted(folder: Path) -> Path | None:
    """A small disk in memory at this place; None where we may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True)
    return folder if mounted and mounted.returncode == 0 else None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
