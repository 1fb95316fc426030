"""One page of text into an idle docmill: from the 202 to the commit that completes it.

Against the same work in a bare loop: decode, cut, embed, and INSERT of the rows, committed.
"""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import files
from bare_copy import Tables
from bare_loop import Loop
from harness import Bench, Numbers, Row, Target, interleaved, percentile
from served import Client, served

import postgres
from docmill.database import Sync

WORDS = 400
WARM_UP = 5
LOOK_SECONDS = 0.001


def run(bench: Bench) -> Iterator[Row]:
    """Percentiles over single documents, with pauses between them in which docmill is idle."""
    count = bench.size(150, 15)
    with (
        postgres.cluster(bench.folder / "data") as server,
        postgres.migrated(server) as url,
        postgres.migrated(server, "bare") as bare_url,
        served(url, workers=2) as (address, _),
        Client(address) as client,
        postgres.bare_connection(url) as looking,
        postgres.bare_connection(bare_url) as keeping,
    ):
        loop, tables = Loop(), Tables(keeping)
        samples = interleaved(
            bench.rounds,
            {
                "docmill": lambda n: measured(
                    count, lambda seed: completed(client, looking, n * 10_000 + seed)
                ),
                "bare": lambda n: measured(
                    count, lambda seed: bare(loop, tables, bench.folder, n * 10_000 + seed)
                ),
            },
        )
    for what, bound in (("p50", 50), ("p99", 120)):
        yield Row(
            line="one_page",
            what=f"one page, idle docmill, 202 → completed, {what}",
            unit="ms",
            ours=samples["docmill"][what],
            against="bare work + INSERT",
            theirs=samples["bare"][what],
            target=Target(bound, at_most=True, difference=True),
        )


def measured(count: int, act: Callable[[int], float]) -> Numbers:
    """Percentiles of what the act returns, in milliseconds."""
    took = [act(seed) * 1000 for seed in range(count + WARM_UP)][WARM_UP:]
    return {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99)}


def completed(client: Client, looking: Sync, seed: int) -> float:
    """Seconds from the 202 to the commit, which is looked for in the database itself.

    `Prefer: wait` would add the tenth of a second in which docmill looks for those who wait.
    """
    time.sleep(random.uniform(0.1, 0.2))
    document = client.upload("page.txt", files.text(seed, WORDS).encode())
    begun = time.perf_counter()
    while True:
        row = looking.execute("select status from documents where id = %s", [document]).fetchone()
        assert row is not None
        if row["status"] == "completed":
            return time.perf_counter() - begun
        assert row["status"] != "failed"
        time.sleep(LOOK_SECONDS)


def bare(loop: Loop, tables: Tables, folder: Path, seed: int) -> float:
    """Seconds of the bare work, with the file's bytes kept before, as they are at a 202."""
    path, file_id = folder / "page.txt", uuid4()
    path.write_text(files.text(seed, WORDS), encoding="utf-8")
    tables.keep_files([(file_id, path.read_bytes())])
    begun = time.perf_counter()
    tables.keep([(uuid4(), file_id, path.name, loop.read(path))])
    return time.perf_counter() - begun
