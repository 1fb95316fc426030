"""POST of 1 GiB, in MB per second, against the same bytes INSERTed in 1 MiB rows by a bare loop.

Both sides hash the bytes and write into the same embedded PostgreSQL. What lies between them is
HTTP, multipart, the deadlines and the final commit. The server's memory must not grow with a file.
"""

import hashlib
import time
from collections.abc import Iterator
from itertools import chain

from harness import Bench, Numbers, Row, Target, interleaved
from served import FORM, MIB, Client, PeakMemory, form, served

import postgres
from docmill import embedded_postgres
from docmill.database import Sync


def run(bench: Bench) -> Iterator[Row]:
    """Rows of speed and of memory."""
    mebibytes = bench.size(1024, 32)
    data = bench.folder / "data"
    growth = []

    def upload(number: int) -> Numbers:
        with PeakMemory(pid, tree=False) as memory:
            seconds = uploaded(client, number, mebibytes)
        growth.append((memory.peak - memory.before) / MIB)
        return {"MB per second": mebibytes * MIB / 1e6 / seconds, "seconds": seconds}

    def limit(number: int) -> Numbers:
        seconds = inserted(bare, number, mebibytes)
        return {"MB per second": mebibytes * MIB / 1e6 / seconds, "seconds": seconds}

    with (
        served(data, workers=0) as (address, pid),
        Client(address) as client,
        postgres.bare_connection(embedded_postgres.start(data).admin_url) as bare,
    ):
        bare.execute(b"create table public.bench_parts (position int, data bytea)")
        bare.execute(b"alter table public.bench_parts alter data set storage external")
        uploaded(client, 99, 1)
        samples = interleaved(bench.rounds, {"docmill": upload, "bare loop": limit})
    yield Row(
        line="upload",
        what=f"POST of {mebibytes:,} MiB",
        unit="MB/s",
        ours=samples["docmill"]["MB per second"],
        against="1 MiB rows in a bare loop",
        theirs=samples["bare loop"]["MB per second"],
        target=Target(0.8),
    )
    yield Row(
        line="upload",
        what=f"memory of the server, more than before a POST of {mebibytes:,} MiB",
        unit="MiB",
        ours=growth,
        target=Target(48, at_most=True),
    )


def blocks(seed: int, count: int) -> Iterator[bytes]:
    """Incompressible mebibytes, different in each round: equal bytes are kept only once."""
    base = bytearray(hashlib.shake_256(seed.to_bytes(8, "big")).digest(MIB))
    for number in range(count):
        base[:8] = number.to_bytes(8, "big")
        yield bytes(base)


def inserted(bare: Sync, seed: int, count: int) -> float:
    """Seconds that the loop takes."""
    bare.execute(b"truncate public.bench_parts")
    begun, digest = time.perf_counter(), hashlib.sha256()
    for position, block in enumerate(blocks(seed, count)):
        digest.update(block)
        bare.execute(
            "insert into public.bench_parts values (%s, %b)", [position, block], binary=True
        )
    return time.perf_counter() - begun


def uploaded(client: Client, seed: int, count: int) -> float:
    """Seconds from the first byte to the 202.

    The document stays: a gigabyte that is deleted keeps vacuum busy during the next round.
    """
    before, after = form("a.bin", b"|").split(b"|")
    length = len(before) + count * MIB + len(after)
    begun = time.perf_counter()
    client.json(
        "POST",
        "/documents",
        chain([before], blocks(seed, count), [after]),
        content_type=FORM,
        content_length=str(length),
    )
    return time.perf_counter() - begun
