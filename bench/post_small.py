"""POST of 10 kB until the 202, against one INSERT of the same bytes, committed.

No worker runs: what is measured is the request alone. Between the two lie HTTP, the form, the
digest, and the rows of the document and its first job, of which an INSERT of bytes knows nothing.
"""

import os
import time
from collections.abc import Callable, Iterator

from harness import Bench, Numbers, Row, Target, interleaved, percentile
from served import Client, served

import postgres

BYTES = 10_000
WARM_UP = 20


def run(bench: Bench) -> Iterator[Row]:
    """Medians of a request and of an INSERT, one after the other on one connection each."""
    count = bench.size(1000, 100)
    with (
        postgres.cluster(bench.folder / "data") as server,
        postgres.migrated(server) as url,
        served(url, workers=0) as (address, _),
        Client(address) as client,
        postgres.bare_connection(url) as bare,
    ):
        bare.execute(
            b"create table public.bench_files (id bigint generated always as identity"
            b" primary key, data bytea not null)"
        )
        bare.execute(b"alter table public.bench_files alter data set storage external")

        def post(content: bytes) -> None:
            client.post("a.txt", content)

        def insert(content: bytes) -> None:
            bare.execute("insert into public.bench_files (data) values (%b)", [content])

        samples = interleaved(
            bench.rounds,
            {"docmill": lambda _: timed(post, count), "one INSERT": lambda _: timed(insert, count)},
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


def timed(act: Callable[[bytes], None], count: int) -> Numbers:
    """Percentiles of the act's time in milliseconds, over contents that are all different."""
    took = []
    for _ in range(count + WARM_UP):
        content = os.urandom(BYTES // 2).hex().encode()
        begun = time.perf_counter()
        act(content)
        took.append((time.perf_counter() - begun) * 1000)
    return {"p50": percentile(took[WARM_UP:], 0.5), "p99": percentile(took[WARM_UP:], 0.99)}
