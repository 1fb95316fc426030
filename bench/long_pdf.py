"""A PDF of 2,000 pages: all of it searchable, against the same stages in one bare loop.

Its ranges are parsed side by side, so the time may be below the loop's. And how soon its first page
is there, how many ranges were parsed at once, and the memory of the whole process tree, PostgreSQL
included.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import files
import httpx2
from bare_loop import Loop
from harness import Bench, Numbers, Row, Target, interleaved
from served import FORM, MIB, PeakMemory, form, served

from docmill import embedded_postgres
from docmill.database import Sync, connect

LOOK_SECONDS = 0.005

FIRST_CLAIM = """
select min(a.started_at) as at from docmill.job_attempts a
join docmill.processing_jobs j on j.id = a.job_id where j.document_id = %s
"""
AT_ONCE = """
select max(running) as most from (
  select count(*) over () as ranges, (
    select count(distinct b.worker) from docmill.job_attempts b
    join docmill.processing_jobs k on k.id = b.job_id
    where k.document_id = %(id)s and k.stage = 'parse'
      and b.started_at <= a.started_at and b.ended_at > a.started_at) as running
  from docmill.job_attempts a join docmill.processing_jobs j on j.id = a.job_id
  where j.document_id = %(id)s and j.stage = 'parse') at_the_start_of_each
"""


def run(bench: Bench) -> Iterator[Row]:
    """Rows of time, of the first page, of ranges at once and of memory."""
    pages = bench.size(2000, 250)
    data, path = bench.folder / "data", bench.folder / "long.pdf"
    loop = Loop()

    def docmill(number: int) -> Numbers:
        return completed(http, admin, files.long_pdf(pages, f"round {number}"))

    def bare(number: int) -> Numbers:
        path.write_bytes(files.long_pdf(pages, f"bare {number}"))
        return {"seconds": read_by(loop, path)}

    with (
        served(data, workers=2) as (address, pid),
        httpx2.Client(base_url=address, timeout=600) as http,
        connect(embedded_postgres.start(data).admin_url, autocommit=True) as admin,
        PeakMemory(pid) as memory,
    ):
        samples = interleaved(bench.rounds, {"docmill": docmill, "bare loop": bare})
    ours = samples["docmill"]
    yield Row(
        line="long_pdf",
        what=f"PDF of {pages:,} pages, all searchable",
        unit="s",
        ours=ours["seconds"],
        against="one bare loop, no database",
        theirs=samples["bare loop"]["seconds"],
    )
    for what, key, unit, target in (
        ("claim → first pages committed", "first page", "s", Target(1, at_most=True)),
        ("workers that parse it at once", "at once", "", Target(2)),
    ):
        yield Row(
            line="long_pdf",
            what=f"PDF of {pages:,} pages, {what}",
            unit=unit,
            ours=ours[key],
            target=target,
        )
    yield Row(
        line="long_pdf",
        what=f"memory of docmill with PostgreSQL at a PDF of {pages:,} pages",
        unit="MiB",
        ours=[memory.peak / MIB],
        target=Target(400, at_most=True),
        note=f"{memory.before / MIB:.0f} MiB before",
    )


def read_by(loop: Loop, path: Path) -> float:
    """Seconds that the loop takes."""
    begun = time.perf_counter()
    assert loop.read(path).chunks
    return time.perf_counter() - begun


def completed(http: httpx2.Client, admin: Sync, content: bytes) -> Numbers:
    """Seconds from the upload's first byte to the committed end, and what was seen on the way."""
    begun = time.perf_counter()
    sent = http.post(
        "/documents", content=form("long.pdf", content), headers={"content-type": FORM}
    )
    sent.raise_for_status()
    document = sent.json()["document_id"]
    first_page: list[float] = []
    looking = threading.Thread(target=look_for_pages, args=(admin, document, first_page))
    looking.start()
    url, tag = f"/documents/{document}", ""
    while True:
        status = http.get(f"{url}/status", headers={"prefer": "wait=20", "if-none-match": tag})
        tag = status.headers["etag"]
        if status.status_code == httpx2.codes.OK and status.json()["done"]:
            break
    took = time.perf_counter() - begun
    assert status.json()["status"] == "completed", status.text
    looking.join()
    row = admin.execute(AT_ONCE, {"id": document}).fetchone()
    assert row is not None
    http.delete(url).raise_for_status()
    return {"seconds": took, "first page": first_page[0], "at once": row["most"]}


def look_for_pages(admin: Sync, document: str, found: list[float]) -> None:
    """Note how long after the claim the first pages are there; by the database's clock."""
    while True:
        row = admin.execute(
            "select clock_timestamp() as now, pages_done from docmill.documents where id = %s",
            [document],
        ).fetchone()
        assert row is not None
        if row["pages_done"]:
            claim = admin.execute(FIRST_CLAIM, [document]).fetchone()
            assert claim is not None
            found.append((row["now"] - claim["at"]).total_seconds())
            return
        time.sleep(LOOK_SECONDS)
