"""A service that fails in every way: documents wait, nothing is lost, nothing is paid twice."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from docmill import migrate
from docmill.database import Addresses, Sync
from embedding_server import DIMENSIONS, MOODS, EmbeddingServer, well
from running import Docmill, Started, until

Workers = Callable[..., Started]
MODEL = migrate.EmbeddingModel(f"openai:m:{DIMENSIONS}", DIMENSIONS)
CODES = {
    "hangs": "EMBEDDER_UNAVAILABLE",
    "busy": "EMBEDDER_UNAVAILABLE",
    "fails": "EMBEDDER_UNAVAILABLE",
    "wrong key": "EMBEDDER_NOT_ALLOWED",
}
TEXT = "\n\n".join(f"{n}. " + "the miller sleeps and the wheel turns " * 20 for n in range(150))


@pytest.fixture
def service(admin: Sync, addresses: Addresses) -> Iterator[EmbeddingServer]:
    assert addresses.admin is not None
    migrate.migrate(addresses.admin, MODEL)
    with EmbeddingServer() as server:
        yield server
    admin.execute("delete from embedding_services")
    admin.execute("delete from paid_embeddings")


def settings(service: EmbeddingServer) -> dict[str, str]:
    return {
        **service.settings,
        "DOCMILL_EMBED_TIMEOUT_SECONDS": "1",
        "DOCMILL_BACKOFF_CAP_SECONDS": "1",
        "DOCMILL_MAX_ATTEMPTS": "1",
    }


@pytest.mark.parametrize("mood", MOODS)
def test_documents_wait_for_a_service_in_a_bad_mood_and_go_on_when_it_is_well(
    admin: Sync, api: Docmill, start_worker: Workers, service: EmbeddingServer, mood: str
) -> None:
    service.mood = MOODS[mood]
    documents = [api.upload(f"{n}.txt", f"{mood} {n}".encode()) for n in range(10)]
    worker = start_worker(**settings(service))
    code = CODES.get(mood, "EMBEDDER_BAD_ANSWER")

    def waits() -> dict[str, Any] | None:
        status = api.status(documents[0])
        said = status["error"] and status["error"]["code"] == code
        return status if said and status["next_attempt_at"] else None

    status = until(waits, "it is said why the document waits, and until when")
    assert (status["status"], status["stage"]) == ("processing", "embed")
    service.mood = well
    for document in documents:
        assert api.completed(document)["attempt"] <= 1
    # Of ten documents one asked in vain, and few more that were on their way to do so.
    outcomes = admin.execute("select count(*) as n from job_attempts where outcome = 'failed'")
    row = outcomes.fetchone()
    assert row is not None
    assert 1 <= row["n"] <= 2 * len(documents)
    left = admin.execute("select count(*) as n from embedding_services").fetchone()
    assert left == {"n": 0}
    assert worker.terminate() == 0


def test_while_a_service_is_paused_nobody_asks_it(
    admin: Sync, api: Docmill, start_worker: Workers, service: EmbeddingServer
) -> None:
    service.mood = MOODS["busy"]
    documents = [api.upload(f"{n}.txt", f"text {n}".encode()) for n in range(30)]
    start_worker(**settings(service))

    def all_wait() -> bool:
        row = admin.execute(
            "select count(*) as n from processing_jobs where waiting_since is not null"
        ).fetchone()
        return bool(row and row["n"] == len(documents))

    until(all_wait, "every document waits for the service")
    assert service.calls <= 2
    service.mood = well
    for document in documents:
        api.completed(document)


def test_document_fails_when_its_service_fails_for_longer_than_anybody_should_wait(
    api: Docmill, start_worker: Workers, service: EmbeddingServer
) -> None:
    service.mood = MOODS["fails"]
    document = api.upload("a.txt", b"nobody waits for ever")
    start_worker(**settings(service), DOCMILL_OUTAGE_PATIENCE_SECONDS="2")
    status = api.ended(document)
    assert (status["status"], status["error"]["code"]) == ("failed", "EMBEDDER_UNAVAILABLE")
    assert "500: oops" in status["error"]["detail"]
    service.mood = well
    assert api.http.post(f"/documents/{document}/retry").status_code == 202
    api.completed(document)


def test_crash_between_answer_and_commit_pays_nothing_twice(
    api: Docmill, start_worker: Workers, service: EmbeddingServer
) -> None:
    document = api.upload("a.txt", TEXT.encode())
    first = start_worker(**settings(service), DOCMILL_FAILPOINT="keep_embeddings:before=kill")
    first.wait()
    assert sum(service.texts.values()) >= 64
    start_worker(**settings(service))
    chunks = api.completed(document)["progress"]["embed"]["total"]
    assert len(service.texts) == chunks
    assert set(service.texts.values()) == {1}
    assert set(service.keys.values()) == {1}


def test_text_that_a_service_refuses_ends_its_own_document_only(
    api: Docmill, start_worker: Workers, service: EmbeddingServer
) -> None:
    def picky(texts: list[str]) -> tuple[int, dict[str, str], bytes]:
        if any("forbidden" in text for text in texts):
            return 400, {}, b'{"error": "this text is not taken"}'
        return well(texts)

    service.mood = picky
    refused = api.upload("bad.txt", b"forbidden words")
    fine = api.upload("good.txt", b"other words")
    start_worker(**settings(service))
    status = api.ended(refused)
    assert (status["status"], status["error"]["code"]) == ("failed", "EMBEDDER_REFUSED")
    assert "this text is not taken" in status["error"]["detail"]
    api.completed(fine)
