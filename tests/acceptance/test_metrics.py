"""/metrics, as Prometheus scrapes it."""

import re
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

import scraping
from docmill.database import Addresses
from docmill.measures import METRICS
from guarded import Guarded, guarded_docmill
from made_files import noise
from restartable_postgres import RestartablePostgres
from running import Docmill, Started, until
from scraping import Scraped, counters, scrape

# Only there once a tick came.
SOMETIMES = {"docmill_last_tick_age_seconds"}


def told_by(*tellers: str) -> set[str]:
    return {name for name, metric in METRICS.items() if metric.told_by in tellers}


def test_what_is_told_is_what_the_table_says(docmill: Docmill) -> None:
    told = scrape(docmill.http).names()
    assert told | SOMETIMES == told_by("database", "api", "process") | SOMETIMES


def nothing_is_in_work(page: Scraped) -> bool:
    return not any(page.value("docmill_jobs", stage=stage) for stage in ("parse", "chunk", "embed"))


def test_a_document_is_counted_on_all_its_way(docmill: Docmill) -> None:
    until(lambda: nothing_is_in_work(scrape(docmill.http)), "what other tests sent has ended")
    until(lambda: scrape(docmill.http).value("docmill_workers", state="live") == 2, "both are here")
    before = scrape(docmill.http)
    content = f"the lighthouse {uuid4()}".encode()
    docmill.completed(docmill.upload("a.txt", content))
    docmill.ended(docmill.upload("noise.bin", noise()))
    after = scrape(docmill.http)

    def more(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    for stage in ("parse", "chunk", "embed"):
        ended = more("docmill_attempts_ended_total", stage=stage, outcome="succeeded")
        assert (ended, more("docmill_attempt_seconds_count", stage=stage)) == (1, 1)
        assert more("docmill_attempts_started_total", stage=stage) == 1 + (stage == "parse")
        assert after.value("docmill_jobs", stage=stage) == 0
    for name in ("pages", "chunks", "embedded_chunks"):
        assert more(f"docmill_{name}_total") == 1
    assert more("docmill_documents_ended_total", status="completed") == 1
    assert more("docmill_document_seconds_count") == 1
    failure = {"stage": "parse", "outcome": "failed", "reason": "TYPE_UNSUPPORTED"}
    assert more("docmill_attempts_ended_total", **failure) == 1
    assert more("docmill_http_requests_total", route="/documents", status="202") == 2
    assert more("docmill_upload_bytes_total") > len(content) + len(noise())
    assert after.value("docmill_workers", state="live") == 2
    assert after.value("docmill_database_up") == 1


def test_histograms_hold_what_they_count(docmill: Docmill) -> None:
    docmill.completed(docmill.upload("a.txt", uuid4().hex.encode()))
    page = scrape(docmill.http)
    for name in (name for name, metric in METRICS.items() if metric.kind == "histogram"):
        buckets: dict[tuple[tuple[str, str], ...], list[float]] = {}
        for sample in page.samples:
            if sample.name == f"{name}_bucket":
                labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
                buckets.setdefault(labels, []).append(sample.value)
        for labels, counts in buckets.items():
            assert counts == sorted(counts)
            assert counts[-1] == page.value(f"{name}_count", **dict(labels))


def test_counts_never_go_back_while_documents_come_and_go(docmill: Docmill) -> None:
    pages: list[Scraped] = []
    for n in range(4):
        document_id = docmill.upload(f"{n}.txt", uuid4().hex.encode())
        pages.append(scrape(docmill.http))
        if n % 2:
            docmill.completed(document_id)
        docmill.http.delete(f"/documents/{document_id}")
        pages.append(scrape(docmill.http))
    for earlier, later in pairwise(counters(pages)):
        gone_back = {series for series, value in earlier.items() if later[series] < value}
        assert not gone_back


def test_refusals_are_counted_by_code_and_made_up_paths_and_methods_make_no_series(
    docmill: Docmill,
) -> None:
    before = scrape(docmill.http)
    for _ in range(3):
        docmill.http.get(f"/{uuid4()}")
        docmill.http.get(f"/documents/{uuid4()}")
        docmill.http.request(uuid4().hex[:8].upper(), "/documents")
    after = scrape(docmill.http)
    missed = "docmill_problems_total"
    assert after.value(missed, code="NOT_FOUND") - before.value(missed, code="NOT_FOUND") == 6
    routes = {sample.labels["route"] for sample in after.samples if "route" in sample.labels}
    assert "/documents/{document_id}" in routes
    assert not [route for route in routes if re.search(r"[0-9a-f]{8}-", route)]
    methods = {sample.labels["method"] for sample in after.samples if "method" in sample.labels}
    assert methods <= {"GET", "POST", "HEAD", "DELETE", "PATCH", "PUT", "OPTIONS", "other"}


@pytest.fixture(scope="module")
def guarded(admin_url: str) -> Iterator[Guarded]:
    with guarded_docmill(admin_url) as served:
        yield served


def test_counts_are_over_all_owners_and_name_none(guarded: Guarded) -> None:
    people = [guarded.somebody(), guarded.somebody()]
    documents = [
        someone.upload(f"secret{n}.txt", uuid4().hex.encode()) for n, someone in enumerate(people)
    ]
    for someone, document_id in zip(people, documents, strict=True):
        someone.completed(document_id)
    page = scrape(guarded.somebody("metrics").http)
    assert page.value("docmill_documents_ended_total", status="completed") >= 2
    for secret in (*documents, *(str(someone.owner) for someone in people), "secret0"):
        assert secret not in page.text


def test_a_metrics_key_reads_metrics_and_nothing_else(guarded: Guarded) -> None:
    scraper = guarded.somebody("metrics").http
    assert scraper.get("/metrics").status_code == 200
    for path in ("/documents", "/operator/overview", "/openapi.json"):
        assert scraper.get(path).json()["code"] == "SCOPE_MISSING"
    assert guarded.with_credential(None).http.get("/metrics").status_code == 401
    everything_else = guarded.somebody("upload", "read", "admin", "tick").http
    assert everything_else.get("/metrics").json()["code"] == "SCOPE_MISSING"


def test_without_the_database_the_process_still_tells_of_itself(tmp_path: Path) -> None:
    postgres = RestartablePostgres(tmp_path / "data")
    # Workers of a server must not want the port that is one worker's: it is taken.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        env = {"DOCMILL_DATABASE_URL": postgres.url, "DOCMILL_METRICS_PORT": port}
        docmill = Docmill(None, env=env)
        try:
            live = {"state": "live"}
            until(lambda: scrape(docmill.http).value("docmill_workers", **live) == 2, "both live")
            postgres.stop()
            page = scrape(docmill.http)
            assert page.value("docmill_database_up") == 0
            disk = {"docmill_disk_free_bytes", "docmill_disk_reserve_bytes"}
            of_itself = told_by("api", "process") - disk
            assert page.names() == of_itself | {"docmill_database_up"}
            postgres.start_again()
            until(lambda: scrape(docmill.http).value("docmill_database_up"), "it is back")
        finally:
            docmill.stop()
            postgres.stop()


def test_disk_without_room_is_told_beside_its_refusals(tmp_path: Path) -> None:
    reserve = {"DOCMILL_DISK_RESERVE_BYTES": "1000000GB"}
    docmill = Docmill(tmp_path / "data", env=reserve, ready=False)
    try:
        live = {"state": "live"}
        until(lambda: scrape(docmill.http).value("docmill_workers", **live) == 2, "both live")
        refused = docmill.http.post("/documents", files={"file": ("a.txt", b"a")})
        assert refused.json()["code"] == "STORAGE_FULL"
        page = scrape(docmill.http)
        assert page.value("docmill_disk_free_bytes") < page.value("docmill_disk_reserve_bytes")
        assert page.value("docmill_problems_total", code="STORAGE_FULL") == 1
    finally:
        docmill.stop()


# a worker alone --------------------------------------------------------------------------


def test_a_worker_alone_tells_of_itself_at_a_port_of_its_own(addresses: Addresses) -> None:
    env = {"DOCMILL_WORKER_DATABASE_URL": addresses.worker}
    worker = Started("worker", "--metrics-port", "0", "--slots", "3", env=env)
    where = worker.says(r"http://127.0.0.1:\d+/metrics")[0]
    page = scraping.read(httpx2.get(where).text)
    assert page.names() == told_by("worker", "process")
    assert page.value("docmill_worker_slots", state="free") == 3
    assert page.value("docmill_pool_connections", state="most") >= 3
    port = where.split(":")[2].split("/")[0]
    second = Started("worker", "--metrics-port", port, env=env)
    assert second.wait() == 69
    assert f"127.0.0.1:{port} can't be listened on" in second.said[-1]
    assert worker.terminate() == 0
