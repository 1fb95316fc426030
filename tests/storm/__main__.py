"""Run one storm and say what did not hold; the exit status is 1 if anything did not."""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg

from docmill import database
from docmill.database import Sync
from running import until
from storm.check import live_without_a_job, violations
from storm.clients import Client
from storm.history import History
from storm.proxy import Proxy
from storm.world import World

CLIENTS = 3
CALM_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a storm did, and what did not hold."""

    seed: int
    faults: Counter[str]
    exchanges: int
    documents: int
    violations: list[str]


def storm(seed: int, seconds: float, folder: Path) -> Report:
    """Let clients work and faults strike for some seconds; then calm down, wait, and check."""
    history = History(folder / f"history-{seed}.jsonl")
    world = World(folder, random.Random(f"{seed} faults"), history)
    proxy = Proxy(world.port, random.Random(f"{seed} proxy"), world.tell)
    clients = [
        Client(n, proxy.port, random.Random(f"{seed} client {n}"), history) for n in range(CLIENTS)
    ]
    watching = Watch(world.url)
    for thread in (*clients, watching):
        thread.start()
    world.strike()
    time.sleep(seconds)
    for client in clients:
        client.stop()
    world.calm()
    proxy.calm = True
    for client in clients:
        client.join()
    watching.stop()
    with connected(world.url) as admin:
        left = wait_for_the_end(admin)
        found = [*world.defects, *watching.found, *left, *violations(history, admin)]
        row = admin.execute("select count(*) as n from documents").fetchone()
    world.stop()
    proxy.close()
    history.close()
    found += [defect for defect in world.defects if defect not in found]
    return Report(seed, world.counts, len(history.exchanges), row["n"] if row else 0, found)


def wait_for_the_end(admin: Sync) -> list[str]:
    """Every document ends, in a time that a person would wait."""

    def live() -> bool:
        row = admin.execute(
            "select count(*) as n from processing_jobs where status in ('queued', 'running')"
        ).fetchone()
        return bool(row and row["n"] == 0)

    try:
        until(lambda: live() or None, "all work ends", CALM_SECONDS)
    except AssertionError as error:
        return [str(error)]
    return []


class Watch(threading.Thread):
    """Looks at the database all the time for what must never be seen, not even for a moment."""

    def __init__(self, url: str) -> None:
        super().__init__(name="watch", daemon=True)
        self.found: list[str] = []
        self._url = url
        self._ended = threading.Event()

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.2):
            try:
                with connected(self._url) as admin:
                    self.found += live_without_a_job(admin)
            except psycopg.Error:
                continue


def connected(url: str) -> Sync:
    admin = database.connect(url, autocommit=True)
    admin.execute("select set_config('search_path', 'docmill, extensions', false)")
    return admin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="docmill-storm-"))
    print(f"seed {chosen.seed}, history in {folder}", flush=True)
    report = storm(chosen.seed, chosen.seconds, folder)
    print(f"{report.exchanges} exchanges, {report.documents} documents at the end")
    for fault, count in sorted(report.faults.items()):
        print(f"{count:6} {fault}")
    for violation in report.violations:
        print(f"NOT SO: {violation}")
    print("everything held" if not report.violations else f"{len(report.violations)} did not hold")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
