"""What comes back by itself: a restarted PostgreSQL, starved workers, documents that kill them."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from restartable_postgres import RestartablePostgres
from running import Docmill, Started, until
from witness import long_pdf, outcomes

LEASE = {"DOCMILL_LEASE_SECONDS": "2", "DOCMILL_BACKOFF_SECONDS": "0.1"}
POISONED = {"DOCMILL_FAILPOINT": "keep_pages:before=kill", "DOCMILL_MAX_ATTEMPTS": "3"}
STEADY = 30


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[RestartablePostgres]:
    server = RestartablePostgres(tmp_path / "data")
    yield server
    server.stop()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_everybody_waits_for_postgres_and_goes_on_when_it_is_back(
    postgres: RestartablePostgres, how: signal.Signals
) -> None:
    env = {**LEASE, "DOCMILL_DATABASE_URL": postgres.url}
    docmill = Docmill(None, "--workers", "2", env=env)
    document_id = docmill.upload("a.pdf", long_pdf(1200))
    until(lambda: docmill.status(document_id)["progress"]["percent"] > 2, "it is being worked on")

    postgres.strike(how)

    def refused() -> httpx2.Response | None:
        answer = docmill.http.get(f"/documents/{document_id}/status")
        return answer if answer.status_code != 200 else None

    answer = until(refused, "the API says that the database is away")
    assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    assert docmill.http.post("/search", json={"query": "x"}).status_code == 503
    sent = docmill.http.post("/documents", files={"file": ("b.txt", b"not taken")})
    assert (sent.status_code, sent.headers["retry-after"]) == (503, "2")
    assert docmill.http.get("/healthz").status_code == 200
    assert docmill.http.get("/readyz").status_code == 503

    postgres.start_again()
    until(lambda: docmill.http.get("/readyz").status_code == 200, "it takes work again")
    answers = [docmill.http.get(f"/documents/{document_id}/status") for _ in range(STEADY)]
    assert {answer.status_code for answer in answers} == {200}
    assert docmill.completed(document_id)["progress"]["parse"]["done"] == 1200
    with postgres.connected() as admin:
        assert "failed" not in outcomes(admin, "parse") + outcomes(admin, "embed")
    assert docmill.stop() == 0
    assert "Traceback" not in "\n".join(docmill.started.said)


def test_document_that_kills_its_worker_every_time_fails_and_holds_back_nobody(
    postgres: RestartablePostgres,
) -> None:
    # Only a document of many pages comes to that commit, and there it takes its worker with it.
    env = {**LEASE, **POISONED, "DOCMILL_DATABASE_URL": postgres.url}
    docmill = Docmill(None, "--workers", "1", env=env)
    poison = docmill.upload("poison.pdf", long_pdf(60))
    others = [docmill.upload(f"{n}.txt", f"harmless {n}".encode()) for n in range(10)]
    for document_id in others:
        docmill.completed(document_id)
    status = docmill.ended(poison)
    assert (status["status"], status["error"]["code"]) == ("failed", "WORKER_LOST")
    assert "lost on each of 3 tries" in status["error"]["detail"]
    jobs = docmill.http.get(f"/documents/{poison}/jobs").json()["jobs"]
    assert [a["outcome"] for a in jobs[0]["attempts"]] == ["lease_expired"] * 3
    # Killed workers are replaced, with pauses; somebody is there again.
    docmill.completed(docmill.upload("after.txt", b"life goes on"))
    assert docmill.stop() == 0


def burn() -> None:
    while True:
        pass


def test_worker_that_gets_hardly_any_processor_time_keeps_its_work(
    postgres: RestartablePostgres,
) -> None:
    env = {"DOCMILL_DATABASE_URL": postgres.url}
    docmill = Docmill(None, "--workers", "0", env=env, ready=False)
    worker, witness = Started("worker", env=env), Started("worker", "--slots", "1", env=env)
    burners = [
        multiprocessing.get_context("spawn").Process(target=burn, daemon=True)
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    for burner in burners:
        burner.start()
    try:
        for process in (worker, witness):
            psutil.Process(process.process.pid).nice(15)
        document_id = docmill.upload("a.pdf", long_pdf(300))
        docmill.completed(document_id)
        with postgres.connected() as admin:
            assert set(outcomes(admin, "parse") + outcomes(admin, "embed")) == {"succeeded"}
    finally:
        for burner in burners:
            burner.kill()
            burner.join()
    for process in (worker, witness):
        assert not any("died" in line or "lost" in line for line in process.said)
        assert process.terminate() == 0
    assert docmill.stop() == 0
