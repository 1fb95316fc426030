"""Uploads against their limit: the same bytes, INSERTed in parts by a bare loop.

    python bench/upload.py [--megabytes N] [--rounds N]

Both sides hash the bytes and write 1 MiB parts into the same embedded PostgreSQL, in turn. The
ratio is what HTTP, multipart, the deadlines and the final commit add. Prints the peak memory of
docmill's process tree (API, workers, PostgreSQL) as well: it must not grow with the file.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
from served import MIB, PeakMemory, served

from docmill import database, embedded_postgres

BOUNDARY = "docmill-bench"


def blocks(seed: int, count: int) -> Iterator[bytes]:
    """Incompressible mebibytes, different in each round: equal bytes are kept only once."""
    base = bytearray(hashlib.shake_256(seed.to_bytes(8, "big")).digest(MIB))
    for number in range(count):
        base[:8] = number.to_bytes(8, "big")
        yield bytes(base)


def bare(url: str, seed: int, count: int) -> float:
    """Seconds that the loop takes."""
    with database.connect(url, autocommit=True) as connection:
        connection.execute("create table if not exists bench_parts (position int, data bytea)")
        connection.execute("alter table bench_parts alter data set storage external")
        connection.execute("truncate bench_parts")
        begun, digest = time.perf_counter(), hashlib.sha256()
        for position, block in enumerate(blocks(seed, count)):
            digest.update(block)
            connection.execute(
                "insert into bench_parts values (%s, %b)", [position, block], binary=True
            )
        return time.perf_counter() - begun


def body(seed: int, count: int) -> Iterator[bytes]:
    """A multipart body with one file of `count` MiB."""
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    yield head.encode()
    yield from blocks(seed, count)
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


def uploaded(http: httpx2.Client, seed: int, count: int) -> float:
    """Seconds from the first byte to the 202; the document is deleted again."""
    begun = time.perf_counter()
    answer = http.post(
        "/documents",
        content=body(seed, count),
        headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    took = time.perf_counter() - begun
    assert answer.status_code == 202, answer.text
    http.delete(f"/documents/{answer.json()['document_id']}").raise_for_status()
    return took


def main() -> None:
    """Print seconds of both sides per round, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    ratios = []
    with (
        tempfile.TemporaryDirectory(prefix="docmill-bench-") as folder,
        served(Path(folder) / "data", "--workers", "1") as (address, pid),
        httpx2.Client(base_url=address, timeout=600) as http,
        PeakMemory(pid) as memory,
    ):
        url = embedded_postgres.start(Path(folder) / "data").admin_url
        for seed in range(chosen.rounds):
            limit = bare(url, seed, chosen.megabytes)
            took = uploaded(http, seed, chosen.megabytes)
            ratios.append(took / limit)
            print(f"{chosen.megabytes} MiB: bare {limit:.2f} s, docmill {took:.2f} s", flush=True)
    print(f"upload: {statistics.median(ratios):.2f} times the bare loop (median)")
    print(f"memory of the process tree: {memory}")


if __name__ == "__main__":
    main()
