"""Statuses per second, and their p99, while the workers have all they can do.

Against a route with one SELECT by the same framework, under the same load of the machine. And how
much longer the slowest take than when docmill is idle.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import files
from harness import Bench, Numbers, Row, Target, interleaved
from served import Client, bare_route, served

import postgres
from docmill.database import connect

CONNECTIONS = 8
HERE = Path(__file__).parent
PAGES = 300
# Of so many pages each: more than two workers can read while statuses are asked.
DOCUMENTS, DOCUMENTS_QUICK = 1200, 200


def run(bench: Bench) -> Iterator[Row]:
    """Rows for 200s, for 304s, and for the slowest of a hundred."""
    seconds = bench.size(10, 2)
    with (
        postgres.cluster(bench.folder / "data") as server,
        postgres.migrated(server) as url,
        served(url, workers=2) as (address, _),
        Client(address) as client,
        bare_route(url) as bare,
    ):
        document = client.upload("page.txt", files.text(0, words=200).encode())
        while not (status := asked_status(client, document))[0]["done"]:
            pass
        path = f"/documents/{document}/status"
        known = f"If-None-Match: {status[1]}"

        def load(where: str, *headers: str) -> Numbers:
            return loaded(where + path, seconds, *headers)

        idle = interleaved(bench.rounds, {"docmill": lambda _: load(address)})
        with saturated(client, url, bench.size(DOCUMENTS, DOCUMENTS_QUICK)):
            samples = interleaved(
                bench.rounds,
                {
                    "docmill": lambda _: load(address),
                    "docmill, 304": lambda _: load(address, known),
                    "bare route": lambda _: load(bare),
                },
            )
    for side, what, target in (
        ("docmill", "status, workers saturated", Target(0.8)),
        ("docmill, 304", "status unchanged (304), workers saturated", None),
    ):
        yield Row(
            line="status_load",
            what=what,
            unit="requests/s",
            ours=samples[side]["per second"],
            against="bare route, one SELECT",
            theirs=samples["bare route"]["per second"],
            target=target,
        )
    yield Row(
        line="status_load",
        what="status, p99 while workers are saturated",
        unit="ms",
        ours=samples["docmill"]["p99"],
        against="docmill, idle",
        theirs=idle["docmill"]["p99"],
        target=Target(3, at_most=True),
    )


def asked_status(client: Client, document: str) -> tuple[dict[str, Any], str]:
    """A document's status and its ETag."""
    answer = client.asked("GET", f"/documents/{document}/status", Prefer="wait=20")
    return json.loads(answer.content), answer.header("etag")


def loaded(url: str, seconds: int, *headers: str) -> Numbers:
    """What a process found that asks for a while."""
    command = [sys.executable, str(HERE / "load.py"), url, str(CONNECTIONS), str(seconds), *headers]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    statuses: Mapping[str, int] = told.pop("statuses")
    assert set(statuses) == ({"304"} if headers else {"200"}), statuses
    return told


@contextmanager
def saturated(client: Client, url: str, documents: int) -> Iterator[None]:
    """The workers have more to do than they can, from the first claim on to the block's end."""
    content = files.long_pdf(PAGES, "load")
    for number in range(documents):
        client.post("load.pdf", content, collection=str(number))
    with connect(url, autocommit=True) as admin:

        def left() -> int:
            row = admin.execute(
                b"select count(*) filter (where status = 'queued') as waiting,"
                b" count(*) filter (where status = 'running') as running"
                b" from docmill.processing_jobs"
            ).fetchone()
            assert row is not None
            return int(row["waiting"]) if row["running"] else 0

        while not left():
            pass
        yield
        assert left(), "the workers ran out of work: the numbers are of an idle docmill"
