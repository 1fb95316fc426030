"""What docmill promises, on every kind of PostgreSQL that it may be used with.

All other tests run on the embedded one. DOCMILL_TEST_POSTGRES_BIN names the programs of another
version, and the kind `by password` uses that.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from docmill import database, embedded_postgres
from docmill.wakeup import NOT_TOLD
from made_files import pdf
from running import PATIENCE_SECONDS, Docmill, until
from servers import KINDS, Server
from tus_client import TusClient
from witness import long_pdf

# Longer than any test waits: what is done before was begun because somebody told the worker.
NEVER = str(PATIENCE_SECONDS)
QUICK = {"DOCMILL_LEASE_SECONDS": "2", "DOCMILL_BACKOFF_SECONDS": "0.1"}


@dataclass(frozen=True, slots=True)
class Place:
    """A served docmill with two workers, and its server."""

    docmill: Docmill
    server: Server
    kind: str


@pytest.fixture(scope="module", params=["embedded", *KINDS])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("any-postgres")
    if request.param == "embedded":
        docmill = Docmill(folder / "data", env={**QUICK, "DOCMILL_POLL_SECONDS": NEVER})
        adopted = embedded_postgres.start(folder / "data")
        yield Place(docmill, Server(adopted.admin_url, adopted.admin_url), request.param)
        assert docmill.stop() == 0
        return
    with KINDS[request.param](folder) as server:
        poll = NEVER if server.hears else "0.2"
        env = {**QUICK, "DOCMILL_POLL_SECONDS": poll, "DOCMILL_DATABASE_URL": server.url}
        docmill = Docmill(None, env=env)
        yield Place(docmill, server, request.param)
        assert docmill.stop() == 0, "\n".join(docmill.started.said)


def test_document_becomes_searchable_and_is_found_by_meaning_and_by_words(place: Place) -> None:
    text = b"The miller weighed the barley before he ground it."
    document_id = place.docmill.upload("mill.txt", text)
    place.docmill.completed(document_id)
    for mode in ("vector", "text", "hybrid"):
        hits = place.docmill.search("barley", mode=mode)
        assert document_id in {hit["document_id"] for hit in hits}, mode


def test_worker_is_told_of_work_at_once_or_says_that_it_looks_for_it(place: Place) -> None:
    place.docmill.completed(place.docmill.upload("told.txt", b"does anybody hear of this?"))
    said = "\n".join(place.docmill.started.said)
    assert (NOT_TOLD in said) is not place.server.hears


def test_long_document_is_shared_by_workers(place: Place) -> None:
    document_id = place.docmill.upload("long.pdf", long_pdf(700))
    progress = place.docmill.completed(document_id)["progress"]
    assert progress["parse"]["done"] == 700
    jobs = place.docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    assert [job["status"] for job in jobs] == ["succeeded"] * len(jobs)
    assert [job["stage"] for job in jobs].count("parse") == 7


def test_cancelled_document_stops_and_what_comes_after_it_does_not_wait(place: Place) -> None:
    document_id = place.docmill.upload("much.pdf", long_pdf(4001))
    place.docmill.begun(document_id)
    assert place.docmill.http.post(f"/documents/{document_id}/cancel").status_code == 202
    place.docmill.completed(place.docmill.upload("next.txt", b"there is room again"))
    assert place.docmill.status(document_id)["status"] == "cancelled"


def test_failed_document_says_why_and_is_tried_again_when_asked(place: Place) -> None:
    document_id = place.docmill.upload("broken.pdf", b"%PDF-1.7\nnot a PDF behind its first line")
    assert place.docmill.ended(document_id)["error"]["code"] == "FILE_UNREADABLE"
    assert place.docmill.http.post(f"/documents/{document_id}/retry").status_code == 202
    until(lambda: attempts(place, document_id) == 2, "it is tried again")
    assert place.docmill.ended(document_id)["status"] == "failed"


def attempts(place: Place, document_id: str) -> int:
    jobs = place.docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    return sum(len(job["attempts"]) for job in jobs)


def test_upload_in_slices_arrives_whole(place: Place) -> None:
    content = pdf("sliced", "thin") + os.urandom(300_000)
    client = TusClient(lambda: place.docmill.url, content, "sliced.pdf", slice_bytes=70_000)
    document_id = client.send()
    kept = place.docmill.http.get(f"/documents/{document_id}/content").content
    assert kept == content


def test_document_of_a_killed_worker_ends(place: Place) -> None:
    document_id = place.docmill.upload("rescued.pdf", long_pdf(900))
    place.docmill.begun(document_id)
    for process in place.docmill.workers():
        process.kill()
    place.docmill.completed(document_id)


def test_connections_are_as_they_should_be(place: Place) -> None:
    with database.connect(place.server.admin_url, autocommit=True) as admin:
        sessions = admin.execute(
            """select a.usename, a.application_name, s.ssl from pg_stat_activity a
               join pg_stat_ssl s using (pid) where a.usename like 'docmill_%'"""
        ).fetchall()
    assert sessions
    assert {session["ssl"] for session in sessions} == {place.kind == "TLS"}
