"""POST of 10 kB until the 202, against one INSERT of the same bytes, committed.

No worker runs: what is measured is the request alone. Between the two lie HTTP and the form, which
a bare route with that INSERT has as well, and the digest and the rows of the document and its first
job, of which neither knows.
"""

import os
import time
from collections.abc import Callable, Iterator

from harness import Bench, Numbers, Row, Target, interleaved, percentile
from served import Client, bare_route, served

import postgres

BYTES = 10_000
WARM_UP = 20
ROUTE = "a bare route with that INSERT"


def run(bench: Bench) -> Iterator[Row]:
    """Medians of a request and of an INSERT, one after the other on one connection each."""
    count = bench.size(1000, 100)
    with (
        postgres.cluster(bench.folder / "data") as server,
        postgres.migrated(server) as url,
        served(url, workers=0) as (address, _),
        Client(address) as client,
        bare_route(url) as bare_address,
        Client(bare_address) as bare_client,
        postgres.bare_connection(url) as bare,
    ):
        bare.execute(
            b"create table public.bench_files (id bigint generated always as identity"
            b" primary key, data bytea not null)"
        )
        bare.execute(b"alter table public.bench_files alter data set storage external")

        def post(content: bytes) -> None:
            client.post("a.txt", content)

        def post_to_bare(content: bytes) -> None:
            bare_client.post("a.txt", content)

        def insert(content: bytes) -> None:
            bare.execute("insert into public.bench_files (data) values (%b)", [content])

        samples = interleaved(
            bench.rounds,
            {
                "docmill": lambda _: timed(post, count),
                ROUTE: lambda _: timed(post_to_bare, count),
                "one INSERT": lambda _: timed(insert, count),
            },
        )
    for what, target in (("p50", Target(3, at_most=True)), ("p99", None)):
        yield Row(
            line="post_small",
            what=f"POST 10 kB → 202, {what}",
            unit="ms",
            ours=samples["docmill"][what],
            against="one committed INSERT",
            theirs=samples["one INSERT"][what],
            target=target,
        )
    yield Row(
        line="post_small",
        what="POST 10 kB → 202, p50",
        unit="ms",
        ours=samples["docmill"]["p50"],
        against=ROUTE,
        theirs=samples[ROUTE]["p50"],
    )


def timed(act: Callable[[bytes], None], count: int) -> Numbers:
    """Percentiles of the act's time in milliseconds, over contents that are all different."""
    took = []
    for _ in range(count + WARM_UP):
        content = os.urandom(BYTES // 2).hex().encode()
        begun = time.perf_counter()
        act(content)
        took.append((time.perf_counter() - begun) * 1000)
    return {"p50": percentile(took[WARM_UP:], 0.5), "p99": percentile(took[WARM_UP:], 0.99)}
