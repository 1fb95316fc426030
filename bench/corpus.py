"""A corpus of real documents through HTTP to searchable, in pages per second.

Against the bare loop in two processes with COPY of the same rows into the same indexed tables, and
against peers with the same parsers, splitter and embedder plugged in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import bare_copy
import files
import rivals
from harness import Bench, Numbers, Row, Side, Skipped, Target, interleaved
from ingest import ingested, per_second, uploads_of
from served import served

import postgres

PROCESSES = 2
ROUNDS_OF_ONE = 3
LIMIT = "bare loop + COPY"
# docmill leaves the index of vectors alone until an owner is large; so does this one, altogether.
NO_INDEX = "bare loop + COPY, no vector indexed"
# A rival's script, the package it needs, and what a crash leaves of its work.
PEERS = {
    "LlamaIndex": ("llamaindex_pipeline", "llama_index.core", "nothing: all of it is in memory"),
    "Haystack": ("haystack_pipeline", "haystack", "nothing: all of it is in memory"),
    "Chroma": ("chroma_store", "chromadb", "passages and vectors that were added; no full text"),
}
NO_PEERS: Mapping[str, tuple[str, str, str]] = {}


def run(bench: Bench) -> Iterator[Row]:
    """Pages per second of docmill, of the limit, and of peers."""
    paths = files.corpus(bench.folder)
    if bench.quick:
        paths = paths[::8]
    # Once, for of copies an index of vectors makes one entry, which flatters who fills it. That is
    # over within a second, so it takes more rounds.
    often = replace(bench, rounds=bench.rounds * ROUNDS_OF_ONE)
    repeat = bench.size(1, 1)
    yield from against_limit(often, "corpus", paths, Target(0.75), repeat=repeat, peers=PEERS)


def against_limit(
    bench: Bench,
    line: str,
    paths: list[Path],
    target: Target,
    *,
    repeat: int = 1,
    peers: Mapping[str, tuple[str, str, str]] = NO_PEERS,
) -> Iterator[Row]:
    """Rows of docmill against the limit and the peers, over these files so many times."""
    pages = sum(map(files.pages_of, paths)) * repeat
    uploads = uploads_of(paths, repeat)
    warm = files.warm_ups(bench.folder)

    def docmill(_: int) -> Numbers:
        with postgres.migrated(server) as url, served(url, PROCESSES) as (address, _pid):
            ingested(address, url, uploads_of(warm, 1))
            return per_second(pages, lambda: ingested(address, url, uploads, before=len(warm)))

    def limit(_: int, *, indexed: bool) -> Numbers:
        with postgres.migrated(server) as url:
            return per_second(
                pages,
                lambda: bare_copy.copied(url, paths, warm, repeat, PROCESSES, indexed=indexed),
            )

    def peer(script: str, package: str) -> Side:
        def side(number: int) -> Numbers:
            folder = str(bench.folder / f"{script}-{number}")
            told = rivals.run(
                script,
                package,
                files=[str(path) for path in paths],
                warm=[str(path) for path in warm],
                repeat=repeat,
                folder=folder,
            )
            return {"per second": pages / told["seconds"], "seconds": told["seconds"]}

        return side

    sides: dict[str, Side] = {
        "docmill": docmill,
        LIMIT: partial(limit, indexed=True),
        NO_INDEX: partial(limit, indexed=False),
    }
    for name, (script, package, _) in peers.items():
        try:
            rivals.require(package)
        except Skipped as reason:
            print(f"  without {name}: {reason}", flush=True)
        else:
            sides[name] = peer(script, package)
    with postgres.cluster(bench.folder / "data") as server:
        samples = interleaved(bench.rounds, sides)
    for name in sides:
        if name != "docmill":
            yield Row(
                line=line,
                what=f"{line}: HTTP to searchable, {len(uploads):,} files, {pages:,} pages",
                unit="pages/s",
                ours=samples["docmill"]["per second"],
                against=name,
                theirs=samples[name]["per second"],
                target=target if name == LIMIT else None,
                note=f"after a crash {name} has {peers[name][2]}" if name in peers else "",
            )
