"""The queue alone: jobs that keep a row, end, and add the next one, in jobs per second.

Against Procrastinate and PgQueuer, whose jobs do nothing at all, and against pgbench with the very
statements that docmill sends.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pgbench
import rivals
from harness import Bench, Numbers, Row, Side, Skipped, Target, interleaved
from psycopg import ClientCursor

import postgres
from docmill.database import addresses, connect

SLOTS = 10
JOBS_PER_DOCUMENT = 3
HERE = Path(__file__).parent
RIVALS = {
    "Procrastinate": ("procrastinate_queue", "procrastinate", Target(8)),
    "PgQueuer": ("pgqueuer_queue", "pgqueuer", None),
}

WAITING = """
insert into files (id, owner_id, sha256, size)
  select md5('file ' || n)::uuid, %(owner)s, sha256(n::text::bytea), 1
  from generate_series(1, %(documents)s) n;
insert into documents (id, owner_id, file_id, filename)
  select md5('document ' || n)::uuid, %(owner)s, md5('file ' || n)::uuid, n || '.txt'
  from generate_series(1, %(documents)s) n;
insert into processing_jobs (owner_id, document_id, generation, stage, max_attempts)
  select %(owner)s, md5('document ' || n)::uuid, 1, 'parse', 5
  from generate_series(1, %(documents)s) n;
"""
OWNER = "00000000-0000-0000-0000-000000000001"


def run(bench: Bench) -> Iterator[Row]:
    """Jobs per second of all sides, each in a database of its own."""
    count = bench.size(5000, 200)
    jobs = JOBS_PER_DOCUMENT * count
    with postgres.cluster(bench.folder / "data") as server:
        sides: dict[str, Side] = {
            "docmill": lambda _: drained_by_worker(server, count),
            "pgbench": lambda _: drained_by_pgbench(server, bench.folder, count, clients=SLOTS),
        }
        for name, (script, package, _) in RIVALS.items():
            try:
                rivals.require(package)
            except Skipped as reason:
                print(f"  without {name}: {reason}", flush=True)
            else:
                sides[name] = rival(server, script, package, bench.size(3000, 200))
        samples = interleaved(bench.rounds, sides)
    targets = {"pgbench": Target(0.6)} | {name: row[2] for name, row in RIVALS.items()}
    for name in sides:
        if name != "docmill":
            yield Row(
                line="queue_alone",
                what=f"the queue alone, {jobs:,} jobs",
                unit="jobs/s",
                ours=samples["docmill"]["per second"],
                against="pgbench, same SQL" if name == "pgbench" else f"{name}, empty jobs",
                theirs=samples[name]["per second"],
                target=targets[name],
            )


def drained_by_worker(server: str, count: int) -> Numbers:
    """One worker process, ten jobs at once; from the first claim to the last commit."""
    with postgres.migrated(server) as url:
        fill(url, count)
        command = [sys.executable, str(HERE / "noop_worker.py"), addresses(url).worker, str(SLOTS)]
        subprocess.run(command, check=True)
        return measured(url, count)


def drained_by_pgbench(server: str, folder: Path, count: int, *, clients: int) -> Numbers:
    """The same statements from clients that do nothing else."""
    with postgres.migrated(server) as url:
        fill(url, count)
        pgbench.run(url, folder, count, clients)
        return measured(url, count)


def measured(url: str, count: int) -> Numbers:
    """Jobs per second from the first claim to the last end, as the rows say it."""
    with postgres.bare_connection(url) as connection:
        row = connection.execute(
            "select count(*) filter (where status = 'succeeded') as jobs,"
            " extract(epoch from max(finished_at) - min(started_at))::float8 as seconds"
            " from processing_jobs"
        ).fetchone()
    assert row is not None
    assert row["jobs"] == JOBS_PER_DOCUMENT * count, row
    return {"per second": row["jobs"] / row["seconds"], "seconds": row["seconds"]}


def rival(server: str, script: str, package: str, jobs: int) -> Side:
    """A rival's worker on a database of its own."""

    def side(_: int) -> Numbers:
        with postgres.empty(server) as url:
            told = rivals.run(script, package, url=url, jobs=jobs)
        return {"per second": jobs / told["seconds"], "seconds": told["seconds"]}

    return side


def fill(url: str, count: int) -> None:
    """Documents that wait, with one file each."""
    with connect(url, autocommit=True) as connection:
        connection.execute(b"set search_path = docmill, extensions")
        ClientCursor(connection).execute(WAITING, {"owner": OWNER, "documents": count})
        connection.execute(b"analyze")
