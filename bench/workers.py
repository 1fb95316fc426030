"""How long a queue takes by the number of workers: with an embedder that waits, and with none.

An embedding service that answers after a second leaves the machine to others while it waits, so
eight workers should be nearly eight times as fast as one. Without it the cores are what is shared,
and two workers are at most twice as fast. The documents are there before the time runs; it ends
with the last of them. One job at a time per worker, and texts too large to share a call: small ones
would all be in the first.
"""

import time
from collections.abc import Iterator, Mapping
from functools import partial

import files
from embedding_service import SlowService
from harness import Bench, Row, Side, Target, interleaved
from ingest import Upload, send, uploads_of
from served import served, wait_until_all_ended

import postgres
from docmill import database
from docmill.migrate import EmbeddingModel

CALL_SECONDS = 1.0
LARGE_WORDS = 7000  # some 45 passages: one call
ENOUGH = 64
DIMENSIONS = 256
WAITING = EmbeddingModel(f"openai:slow:{DIMENSIONS}", DIMENSIONS)
PAUSE = b"insert into docmill.stage_limits (stage, paused) values ('parse', true)"
GO_ON = b"delete from docmill.stage_limits"
CALM = {"SLOTS": "1", "POLL_SECONDS": "0.05"}


def run(bench: Bench) -> Iterator[Row]:
    """How many times faster some workers are than one."""
    large = files.texts(bench.folder, bench.size(32, 16), LARGE_WORDS)
    texts = uploads_of(large, 1)
    corpus = uploads_of(files.corpus(bench.folder), bench.size(2, 1))
    with (
        postgres.cluster(bench.folder / "data") as server,
        SlowService(CALL_SECONDS, ENOUGH, DIMENSIONS) as service,
    ):
        slow = {
            "EMBEDDER": "openai",
            "EMBED_URL": service.url,
            "EMBED_MODEL": "slow",
            "EMBED_DIMENSIONS": str(DIMENSIONS),
        }
        waiting: dict[str, Side] = {
            str(count): partial(emptied, server, texts, count, slow, WAITING)
            for count in (1, 2, 4, 8)
        }
        yield from gains(bench, waiting, "waiting embedder", {8: 7.0})
        busy: dict[str, Side] = {
            str(count): partial(emptied, server, corpus, count, {}, postgres.STATIC)
            for count in (1, 2)
        }
        yield from gains(bench, busy, "CPU", {2: 1.7})


def gains(
    bench: Bench, sides: Mapping[str, Side], what: str, wanted: Mapping[int, float]
) -> Iterator[Row]:
    """A row for each number of workers beside one."""
    samples = interleaved(bench.rounds, sides)
    for name in sides:
        seconds = samples[name]["seconds"]
        yield Row(
            line="workers",
            what=f"{what}, {name} of them",
            unit="documents/s",
            ours=samples[name]["per second"],
            against="one worker" if name != "1" else None,
            theirs=samples["1"]["per second"] if name != "1" else (),
            target=Target(wanted[int(name)]) if int(name) in wanted else None,
            note=f"{min(seconds):.1f} s",
            at=float(name),
        )


def emptied(
    server: str,
    uploads: list[Upload],
    count: int,
    settings: Mapping[str, str],
    model: EmbeddingModel,
    _: int,
) -> dict[str, float]:
    """What so many workers do in a second of what lay in the queue."""
    with (
        postgres.migrated(server, model=model) as url,
        database.connect(url, autocommit=True) as admin,
        served(url, count, **CALM, **settings) as (address, _pid),
    ):
        admin.execute(PAUSE)
        send(address, iter(uploads))
        begun = time.perf_counter()
        admin.execute(GO_ON)
        wait_until_all_ended(url, len(uploads))
        seconds = time.perf_counter() - begun
    return {"per second": len(uploads) / seconds, "seconds": seconds}
