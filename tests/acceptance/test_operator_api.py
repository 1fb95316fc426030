"""The operator's API, from outside."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from made_files import book, noise
from running import Docmill, until


def overview(docmill: Docmill, **params: Any) -> dict[str, Any]:
    answer = docmill.http.get("/operator/overview", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def act(docmill: Docmill, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = docmill.http.post(f"/operator/{path}", json=body)
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    return done


def last_act(docmill: Docmill) -> tuple[str, str]:
    action = overview(docmill)["actions"][0]
    assert action["operator"] == "local"
    return action["action"], action["subject"]


def test_overview_shows_the_whole_service_in_one_answer(docmill: Docmill) -> None:
    docmill.ended(docmill.upload("noise.bin", noise()))
    seen = overview(docmill)
    assert [stage["stage"] for stage in seen["stages"]] == ["parse", "chunk", "embed"]
    assert {worker["state"] for worker in seen["workers"]} == {"live"}
    assert "TYPE_UNSUPPORTED" in {failure["code"] for failure in seen["failures"]}
    assert seen["may_act"]
    until(lambda: set(overview(docmill)["samples"]) == {"document", "parse", "chunk", "embed"},
          "the first samples are written")  # fmt: skip
    sample = overview(docmill)["samples"]["document"][0]
    assert len(sample) == len(seen["sample_columns"])


def test_unchanged_overview_is_304_though_workers_beat(docmill: Docmill) -> None:
    def quiet() -> bool:
        first = docmill.http.get("/operator/overview")
        again = docmill.http.get(
            "/operator/overview", headers={"If-None-Match": first.headers["etag"]}
        )
        assert first.headers["retry-after"] == "2"
        return again.status_code == 304

    until(quiet, "nothing happens between two looks")


def test_paused_stage_holds_documents_back_until_it_goes_on(docmill: Docmill) -> None:
    assert act(docmill, "stages/chunk", {"paused": True})["paused"]
    try:
        document_id = docmill.upload("held.txt", uuid4().hex.encode())
        until(lambda: docmill.status(document_id)["progress"]["parse"]["done"] == 1, "it is read")
        chunk = overview(docmill)["stages"][1]
        assert (chunk["paused"], chunk["due"], chunk["running"]) == (True, 1, 0)
        summary = docmill.http.get("/documents", params={"ids": "", "summary": True}).json()
        assert summary["summary"]["paused"] == ["chunk"]
        limited = act(docmill, "stages/chunk", {"max_running": 4})
        assert limited == {"stage": "chunk", "paused": True, "max_running": 4}
    finally:
        act(docmill, "stages/chunk", {"paused": False, "max_running": None})
    docmill.completed(document_id)
    assert last_act(docmill) == ("resume", "chunk")


def test_drained_workers_claim_nothing_until_they_are_let_on(docmill: Docmill) -> None:
    workers = [worker["id"] for worker in overview(docmill)["workers"]]
    for worker in workers:
        act(docmill, f"workers/{worker}", {"draining": True})
    try:
        # Each has heard of it with a beat that came after.
        heard = {worker["id"]: worker["seen_at"] for worker in overview(docmill)["workers"]}
        until(lambda: all(w["seen_at"] > heard[w["id"]] for w in overview(docmill)["workers"]),
              "every worker has beaten again")  # fmt: skip
        document_id = docmill.upload("nobody.txt", uuid4().hex.encode())
        ready = docmill.http.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["workers"]["ok"]) == (503, False)
        beats = {worker["id"]: worker["seen_at"] for worker in overview(docmill)["workers"]}
        until(lambda: all(w["seen_at"] > beats[w["id"]] for w in overview(docmill)["workers"]),
              "every worker has beaten again")  # fmt: skip
        assert docmill.status(document_id)["status"] == "queued"
    finally:
        for worker in workers:
            act(docmill, f"workers/{worker}", {"draining": False})
    docmill.completed(document_id)
    assert last_act(docmill)[0] == "undrain"


def test_drained_worker_finishes_what_it_holds(docmill: Docmill) -> None:
    document_id = docmill.upload("long.pdf", book(90, 40))
    until(lambda: docmill.status(document_id)["status"] != "queued", "it is claimed")
    workers = [worker["id"] for worker in overview(docmill)["workers"]]
    for worker in workers:
        act(docmill, f"workers/{worker}", {"draining": True})
    status = docmill.completed(document_id)
    assert status["attempt"] == 1
    for worker in workers:
        act(docmill, f"workers/{worker}", {"draining": False})


def test_documents_that_failed_alike_are_retried_together_once(docmill: Docmill) -> None:
    made = [docmill.upload(f"{n}.bin", noise()) for n in range(3)]
    before = {document_id: docmill.ended(document_id)["version"] for document_id in made}
    asked: dict[str, Any] = {"code": "TYPE_UNSUPPORTED", "stage": "parse"}
    done = act(docmill, "retry", asked)
    assert done["retried"] >= 3
    for document_id in made:
        again = docmill.ended(document_id)
        assert again["error"]["code"] == "TYPE_UNSUPPORTED"
        assert again["version"] > before[document_id]
    no_more = act(docmill, "retry", {**asked, "before": done["before"]})
    assert (no_more["retried"], no_more["more"]) == (0, False)
    assert last_act(docmill) == ("retry", "TYPE_UNSUPPORTED")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("stages/bake", {"paused": True}),
        ("stages/parse", {"max_running": 0}),
        ("stages/parse", {"resting": True}),
        ("workers/w1", {}),
        ("retry", {"code": "not a code", "stage": "parse"}),
        ("retry", {"code": "TYPE_UNSUPPORTED"}),
        ("retry", {"code": "TYPE_UNSUPPORTED", "stage": "parse", "before": "2026-01-01"}),
    ],
)
def test_a_wrong_act_is_refused_and_not_written_down(
    docmill: Docmill, path: str, body: dict[str, Any]
) -> None:
    before = overview(docmill)["actions"]
    answer = docmill.http.post(f"/operator/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "FIELD_INVALID")
    assert overview(docmill)["actions"] == before


def test_unknown_worker_is_told(docmill: Docmill) -> None:
    answer = docmill.http.post("/operator/workers/nobody:1:2", json={"draining": True})
    assert (answer.status_code, answer.json()["code"]) == (404, "WORKER_UNKNOWN")


# who may -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["read", "off"])
def restricted(
    request: pytest.FixtureRequest, tmp_path_factory: Any
) -> Iterator[tuple[str, Docmill]]:
    """A docmill whose operator's view is restricted."""
    folder = tmp_path_factory.mktemp("restricted")
    env = {"DOCMILL_OPERATOR": request.param}
    served = Docmill(folder / "data", "--workers", "0", env=env, ready=False)
    yield request.param, served
    assert served.stop() == 0


def test_who_may_only_look_can_not_act_and_who_may_nothing_sees_nothing(
    restricted: tuple[str, Docmill],
) -> None:
    allowed, docmill = restricted
    looked = docmill.http.get("/operator/overview")
    assert looked.status_code == (200 if allowed == "read" else 403)
    if allowed == "read":
        assert looked.json()["may_act"] is False
    for path, body in [
        ("stages/parse", {"paused": True}),
        ("workers/w1", {"draining": True}),
        ("retry", {"code": "TYPE_UNSUPPORTED", "stage": "parse"}),
    ]:
        answer = docmill.http.post(f"/operator/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "OPERATOR_REQUIRED")
