"""Documents through an embedding service that answers after 50 ms and takes four calls at once.

Against the calls alone, one for each text: their number, times 50 ms, by four. What docmill does
besides should happen while it waits. It can be faster than that: texts share calls.
"""

from collections.abc import Iterator

import files
from embedding_service import SlowService
from harness import Bench, Row, Target, interleaved
from ingest import ingested, uploads_of
from served import served

import postgres
from docmill.migrate import EmbeddingModel

CALL_SECONDS = 0.05
AT_ONCE = 4
WORKERS = 2
SLOTS = 6  # of a worker: more than the service takes, so that it never waits for docmill
DIMENSIONS = 256


def run(bench: Bench) -> Iterator[Row]:
    """Texts per second, beside those that the service would take one by one."""
    paths = files.small_texts(bench.folder, bench.size(1000, 40))
    uploads = uploads_of(paths, 1)
    model = EmbeddingModel(f"openai:slow:{DIMENSIONS}", DIMENSIONS)

    def docmill(_: int) -> dict[str, float]:
        with (
            SlowService(CALL_SECONDS, AT_ONCE, DIMENSIONS) as service,
            postgres.migrated(server, model=model) as url,
            served(
                url,
                WORKERS,
                SLOTS=str(SLOTS),
                EMBEDDER="openai",
                EMBED_URL=service.url,
                EMBED_MODEL="slow",
                EMBED_DIMENSIONS=str(DIMENSIONS),
            ) as (address, _pid),
        ):
            seconds = ingested(address, url, uploads)
            return {"per second": len(paths) / seconds, "seconds": seconds, "calls": service.calls}

    with postgres.cluster(bench.folder / "data") as server:
        samples = interleaved(bench.rounds, {"docmill": docmill})["docmill"]
    yield Row(
        line="slow_embedder",
        what=f"{len(paths):,} texts, embedder of 50 ms, {AT_ONCE} calls at once",
        unit="texts/s",
        ours=samples["per second"],
        against="a call for each text, nothing else",
        theirs=[AT_ONCE / CALL_SECONDS] * bench.rounds,
        target=Target(0.9),
        note=f"{samples['calls'][0]:.0f} calls",
    )
