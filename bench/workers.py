"""How long a queue takes by the number of workers, where each embedding call takes 50 ms.

    python bench/workers.py [--documents N] [--workers 1 2 4 8]

The waiting is what workers share: while one waits for the service, others go on. Documents are
uploaded first, while a pause keeps them; workers start, and the time runs from the end of the pause
to the last commit. One job at a time per worker.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import psycopg

from docmill import database, embedded_postgres
from embedding_server import Answer, EmbeddingServer, well
from running import Docmill, until

CALL_SECONDS = 0.05
PARAGRAPH = "Rain fell on the mill, and the wheel turned the stone all night long. "
CALM = {"DOCMILL_SLOTS": "1", "DOCMILL_POLL_SECONDS": "0.05", "DOCMILL_LOG_LEVEL": "error"}
PAUSE = "insert into docmill.stage_limits (stage, paused) values ('parse', true)"
GO_ON = "delete from docmill.stage_limits"
LEFT = "select count(*) as n from docmill.processing_jobs where status in ('queued', 'running')"
LIVE = "select count(*) as n from docmill.workers"


def slowly(texts: list[str]) -> Answer:
    time.sleep(CALL_SECONDS)
    return well(texts)


@contextmanager
def workers(count: int, env: dict[str, str]) -> Iterator[None]:
    """So many worker processes, for the length of a block."""
    command = [sys.executable, "-m", "docmill", "worker"]
    started = [subprocess.Popen(command, env={**os.environ, **env}) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def emptied(admin: database.Sync, docmill: Docmill, count: int, round_: str, env: dict[str, str],
            documents: int) -> float:  # fmt: skip
    """Seconds that so many workers take for so many documents."""

    def counted(statement: str) -> int:
        (row,) = admin.execute(statement.encode()).fetchall()
        return int(row["n"])

    admin.execute(PAUSE)
    for number in range(documents):
        docmill.upload(f"{number}.txt", f"{round_} {number}. {PARAGRAPH * 40}".encode())
    with workers(count, env):
        until(lambda: counted(LIVE) == count, "all workers are there")
        time.sleep(1)  # their parsers, too
        begun = time.perf_counter()
        admin.execute(GO_ON)
        until(lambda: counted(LEFT) == 0, "the queue is empty", 600)
        took = time.perf_counter() - begun
    until(lambda: counted(LIVE) == 0, "all workers are gone")
    return took


def main() -> None:
    """Print seconds, documents per second and the gain over one worker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="docmill-bench-") as folder,
        EmbeddingServer() as service,
        embedded_postgres.start(Path(folder) / "data") as postgres,
    ):
        service.mood = slowly
        env = {**CALM, **service.settings, "DOCMILL_DATABASE_URL": postgres.admin_url}
        docmill = Docmill(None, "--workers", "0", env=env, ready=False)
        with psycopg.connect(postgres.admin_url, autocommit=True,
                             row_factory=psycopg.rows.dict_row) as admin:  # fmt: skip
            print(f"{chosen.documents} documents, {CALL_SECONDS * 1000:g} ms per embedding call,"
                  f" {os.cpu_count()} cores")  # fmt: skip
            print("workers   seconds   documents/s   gain", flush=True)
            first = 0.0
            for count in chosen.workers:
                took = emptied(admin, docmill, count, f"by {count}", env, chosen.documents)
                first = first or took
                rate = chosen.documents / took
                print(f"{count:7} {took:9.1f} {rate:13.1f} {first / took:6.2f}", flush=True)
        docmill.stop()


if __name__ == "__main__":
    main()
