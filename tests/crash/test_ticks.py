"""Ticks over HTTP: lost, late, doubled, parallel and killed ones are all harmless."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from docmill.database import Sync
from guarded import Guarded, guarded_docmill
from running import Docmill, until
from witness import long_pdf


def tick(docmill: Docmill, milliseconds: int) -> dict[str, Any]:
    answer = docmill.http.post("/internal/tick", json={"source": "cron", "budget_ms": milliseconds})
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    return done


def due(admin: Sync) -> bool:
    row = admin.execute("select docmill.has_due_work() as due").fetchone()
    return bool((row or {})["due"])


def test_ticks_alone_finish_what_is_longer_than_their_budget(admin: Sync, api: Docmill) -> None:
    assert not due(admin)
    assert tick(api, 5000) == {
        "claimed": 0, "finished": 0, "released": 0, "reaped": 0, "remaining": 0, "busy": False,
    }  # fmt: skip
    document_id = api.upload("a.pdf", long_pdf(4000))
    ticks = 0
    while not api.status(document_id)["done"]:
        assert due(admin)
        tick(api, 500)
        ticks += 1
    assert ticks > 1
    assert api.completed(document_id)["progress"]["parse"]["done"] == 4000
    assert not due(admin)


def test_ticks_alone_make_a_service_ready_for_as_long_as_they_come(
    admin: Sync, api: Docmill
) -> None:
    def ready() -> tuple[int, dict[str, Any]]:
        answer = api.http.get("/readyz")
        return answer.status_code, answer.json()

    status, before = ready()
    assert (status, before["checks"]["workers"]["ok"]) == (503, False)
    assert before["missing"] == [before["checks"]["workers"]["detail"]]
    assert "no tick ever came" in before["missing"][0]
    tick(api, 100)
    assert ready()[0] == 200
    admin.execute("update last_tick set at = now() - interval '14 minutes'")
    assert (ready()[0], ready()[1]["missing"]) == (200, [])
    admin.execute("update last_tick set at = now() - interval '16 minutes'")
    status, after = ready()
    assert status == 503
    assert "no tick came for 96" in after["missing"][0]
    tick(api, 100)
    assert ready()[0] == 200


def test_tick_is_due_for_work_and_where_nobody_came_for_minutes(admin: Sync, api: Docmill) -> None:
    def is_due() -> bool:
        row = admin.execute("select docmill.tick_is_due() as due").fetchone()
        return bool((row or {})["due"])

    assert is_due()
    tick(api, 100)
    assert not is_due()
    admin.execute("update last_tick set at = now() - interval '6 minutes'")
    assert is_due()
    admin.execute("insert into workers (id, slots) values ('w1', 1)")
    assert not is_due(), "a worker lives"
    api.upload("a.txt", b"work for a tick")
    assert is_due()


def test_many_ticks_at_once_are_one_slice_of_work(admin: Sync, api: Docmill) -> None:
    document_ids = [api.upload(f"{n}.txt", f"text {n}".encode()) for n in range(5)]
    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda _: tick(api, 20_000), range(20)))
    assert sum(not answer["busy"] for answer in done) >= 1
    for document_id in document_ids:
        until(lambda: tick(api, 20_000) if due(admin) else True, "nothing is due")
        api.completed(document_id)
    attempts = admin.execute("select count(*) as n from job_attempts").fetchone()
    assert (attempts or {})["n"] == 15, "each stage of each document was tried once"


def test_killed_tick_is_told_and_the_next_goes_on(admin: Sync, api: Docmill) -> None:
    document_id = api.upload("a.pdf", long_pdf(2500))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(api.http.post, "/internal/tick", json={"budget_ms": 60_000})
        until(lambda: holds_a_job(admin), "it works")
        (worker,) = api.workers()
        worker.kill()
        assert (answer.result().status_code, answer.result().json()["code"]) == (500, "TICK_FAILED")
    until(lambda: due(admin), "its lease is over")
    until(lambda: tick(api, 20_000) and api.status(document_id)["done"], "the document ends")
    assert api.completed(document_id)["progress"]["parse"]["done"] == 2500


def holds_a_job(admin: Sync) -> bool:
    row = admin.execute("select count(*) as n from processing_jobs where status = 'running'")
    return bool((row.fetchone() or {})["n"])


def test_slice_goes_on_when_its_scheduler_hangs_up(admin: Sync, api: Docmill) -> None:
    document_id = api.upload("a.pdf", long_pdf(500))
    with pytest.raises(httpx2.ReadTimeout):
        api.http.post("/internal/tick", json={"budget_ms": 60_000}, timeout=0.3)
    api.completed(document_id)
    assert not due(admin)


def test_server_that_stops_in_a_tick_gives_back_what_it_held(admin: Sync, api: Docmill) -> None:
    document_id = api.upload("a.pdf", long_pdf(2500))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(api.http.post, "/internal/tick", json={"budget_ms": 60_000})
        until(lambda: holds_a_job(admin), "it works")
        assert api.started.terminate() == 0
        done = answer.result().json()
        assert done["released"] + done["finished"] >= 1
    jobs = admin.execute(
        "select status, attempt from processing_jobs where document_id = %s", [document_id]
    ).fetchall()
    assert {job["status"] for job in jobs} <= {"queued", "succeeded"}
    assert all(job["attempt"] == 0 for job in jobs if job["status"] == "queued")


@pytest.mark.parametrize("body", [{"budget_ms": 0}, {"budget_ms": "soon"}, {"budget_ms": 10**9}])
def test_budget_that_is_none_is_refused(api: Docmill, body: dict[str, Any]) -> None:
    answer = api.http.post("/internal/tick", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "FIELD_INVALID")


@pytest.fixture(scope="module")
def guarded(admin_url: str) -> Iterator[Guarded]:
    with guarded_docmill(admin_url) as served:
        yield served


def test_a_ticks_key_is_good_for_ticks_and_nothing_else(guarded: Guarded) -> None:
    scheduler = guarded.somebody("tick").http
    answer = scheduler.post("/internal/tick", content=b"")
    assert answer.status_code == 200, answer.text
    assert set(json.loads(answer.text)) >= {"claimed", "remaining", "busy"}
    assert scheduler.get("/documents").json()["code"] == "SCOPE_MISSING"
    user = guarded.somebody("upload", "read", "admin").http
    assert user.post("/internal/tick").json()["code"] == "SCOPE_MISSING"
