"""Hybrid search over 200,000 passages: how long, and how many of the true ten nearest are found.

For an owner with nearly all rows and for one with a hundredth of them, for whom the index holds
mostly rows of others. Against the same SQL on a bare connection, and beside Chroma for the vectors.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import rivals
from bare_copy import Tables
from bare_loop import Embedder, Read
from bare_search import BareSearch
from harness import Bench, Numbers, Row, Skipped, Target, interleaved, percentile
from numpy.typing import NDArray
from search_texts import Texts
from served import Client, served

import postgres
from docmill import api_keys, migrate
from docmill.database import connect
from docmill.identity import owner_of
from docmill.search import chunk_id
from docmill.vector_index import FEW

PASSAGES_PER_DOCUMENT = 20
DOCUMENTS_AT_ONCE = 100
SHARES = {"most": 0.99, "few": 0.01}
# A round of the small owner's searches is over within a second, in which the machine may have been
# slow for one side.
ROUNDS = {"most": 1, "few": 5}
FOUND = 10  # hits that are asked for, and compared with the true ones

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Kept:
    """An owner's passages: their names and vectors, for looking at all of them."""

    names: list[str]
    vectors: Vectors

    def nearest(self, vector: Vectors) -> set[str]:
        """The names of the true nearest."""
        order = np.argsort(-(self.vectors @ vector), kind="stable")[:FOUND]
        return {self.names[place] for place in order}


def run(bench: Bench) -> Iterator[Row]:
    """Rows of time and of what was found, for both owners."""
    passages = bench.size(200_000, 4000)
    texts, embed = Texts(seed=1), Embedder()
    asked = [texts.query() for _ in range(bench.size(200, 20))]
    wanted = embed(asked)
    with postgres.cluster(bench.folder / "data") as server, postgres.migrated(server) as url:
        before_indexes(url)
        kept = {
            owner: filled(url, owner, texts, embed, round(passages * share))
            for owner, share in SHARES.items()
        }
        after_indexes(url)
        with ExitStack() as stack:
            address, _ = stack.enter_context(served(url, workers=0, AUTH="keys"))
            for owner in SHARES:
                client = stack.enter_context(
                    Client(address, {"Authorization": f"Bearer {key_of(url, owner)}"})
                )
                yield from rows_of(
                    bench, url, client, owner, asked=asked, wanted=wanted, kept=kept[owner]
                )
    yield from chroma_rows(bench, wanted, kept["most"])


def rows_of(
    bench: Bench,
    url: str,
    client: Client,
    owner: str,
    *,
    asked: Sequence[str],
    wanted: Vectors,
    kept: Kept,
) -> Iterator[Row]:
    """Time against the bare SQL, and what was found against all rows, for one owner."""
    share = f"owner of {SHARES[owner]:.0%} of the passages"

    def over_http(number: int) -> None:
        hits(client, asked[number], "hybrid")

    with BareSearch(url, owner_of(owner)) as bare:
        samples = interleaved(
            bench.rounds * ROUNDS[owner],
            {
                "docmill": lambda _: timed(len(asked), over_http),
                "bare SQL": lambda _: timed(
                    len(asked), lambda number: bare(asked[number], wanted[number])
                ),
            },
        )
    yield Row(
        line="search_quality",
        what=f"hybrid search, {share}, p50",
        unit="ms",
        ours=samples["docmill"]["p50"],
        against="the same SQL",
        theirs=samples["bare SQL"]["p50"],
        target=Target(1.3, at_most=True),
    )
    yield Row(
        line="search_quality",
        what=f"recall@{FOUND} of the nearest vectors, {share}",
        unit="",
        ours=[recall(client, asked, wanted, kept)],
        target=Target(0.97),
    )


def timed(count: int, act: Callable[[int], None]) -> Numbers:
    """Percentiles of the act's time in milliseconds, over all queries."""
    took = []
    for number in range(count):
        begun = time.perf_counter()
        act(number)
        took.append((time.perf_counter() - begun) * 1000)
    return {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99)}


def hits(client: Client, query: str, mode: str) -> list[str]:
    """The names of the passages that are found."""
    wanted = {"query": query, "limit": FOUND, "mode": mode}
    answer: Mapping[str, list[dict[str, str]]] = client.json("POST", "/search", wanted)
    return [hit["chunk_id"] for hit in answer["hits"]]


def recall(client: Client, asked: Sequence[str], wanted: Vectors, kept: Kept) -> float:
    """The share of the true nearest that are found, over all queries."""
    shares = [
        len(kept.nearest(vector).intersection(hits(client, query, "vector"))) / FOUND
        for query, vector in zip(asked, wanted, strict=True)
    ]
    return sum(shares) / len(shares)


# the passages ----------------------------------------------------------------------------


def before_indexes(url: str) -> None:
    """Rows come much faster while there are no indexes of words and vectors."""
    with postgres.bare_connection(url) as admin:
        admin.execute(b"drop index chunks_by_words")
        admin.execute(b"drop index vectors_of_model_1")


def after_indexes(url: str) -> None:
    """The same indexes as docmill makes, at once; the vectors' by docmill itself."""
    with postgres.bare_connection(url) as admin:
        admin.execute(
            b"do $$ begin execute format('alter database %I set maintenance_work_mem to"
            b" ''1GB''', current_database()); end $$"
        )
        admin.execute(b"create index chunks_by_words on chunks using gin (words)")
    migrate.migrate(url, postgres.STATIC)
    with postgres.bare_connection(url) as admin:
        admin.execute(b"vacuum analyze")


def filled(url: str, owner: str, texts: Texts, embed: Embedder, passages: int) -> Kept:
    """Documents with so many passages."""
    names: list[str] = []
    vectors: list[Vectors] = []
    with postgres.bare_connection(url) as connection:
        tables = Tables(connection, owner_of(owner), indexed=passages > FEW)
        made = []
        while len(names) < passages:
            some = [
                texts.passage() for _ in range(min(PASSAGES_PER_DOCUMENT, passages - len(names)))
            ]
            read = Read([some[0]], [(1, 0, text) for text in some], embed(some))
            document, file_id = uuid4(), uuid4()
            made.append((document, file_id, f"{document}.txt", read))
            names += [chunk_id(document, 1, ordinal) for ordinal in range(len(some))]
            vectors.append(read.vectors)
            if len(made) == DOCUMENTS_AT_ONCE or len(names) >= passages:
                tables.keep_files([(file_id, document.bytes) for document, file_id, _, _ in made])
                tables.keep(made)
                made = []
    return Kept(names, np.concatenate(vectors))


def key_of(url: str, owner: str) -> str:
    """A new key of an owner."""
    with connect(url) as admin:
        made = api_keys.create(admin, owner, "bench", ["read"], None)
        admin.commit()
        return made.text


# the rival -------------------------------------------------------------------------------


def chroma_rows(bench: Bench, wanted: Vectors, kept: Kept) -> Iterator[Row]:
    """The same vectors in Chroma: no words, no owners."""
    folder = bench.folder / "chroma"
    folder.mkdir()
    np.savez(folder / "vectors.npz", vectors=kept.vectors, wanted=wanted)
    try:
        told = rivals.run("chroma_search", "chromadb", folder=str(folder), found=FOUND)
    except Skipped as reason:
        print(f"  without Chroma: {reason}", flush=True)
        return
    found = [
        len(kept.nearest(vector) & {kept.names[place] for place in places}) / FOUND
        for vector, places in zip(wanted, told["places"], strict=True)
    ]
    for what, unit, number in (
        ("search by vectors alone, p50", "ms", told["p50"]),
        (f"recall@{FOUND}", "", sum(found) / len(found)),
        ("vectors added per second", "/s", told["per second"]),
    ):
        yield Row(line="search_quality", what=f"Chroma: {what}", unit=unit, ours=[number])
