"""Webhooks: documents that end are told of, once and signed, whatever the endpoint does."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks import WebhookVerificationError

from docmill.web import shapes
from guarded import Guarded, Somebody, guarded_docmill
from running import until
from webhook_receiver import Mood, Receiver, answers, closes, hangs, well

BROKEN = b"%PDF-1.7\nbroken "


@pytest.fixture(scope="module")
def guarded(admin_url: str) -> Iterator[Guarded]:
    with guarded_docmill(admin_url, DOCMILL_WEBHOOK_TARGETS="private") as served:
        yield served


@pytest.fixture
def somebody(guarded: Guarded) -> Somebody:
    return guarded.somebody()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def added(somebody: Somebody, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    answer = somebody.http.post("/webhooks", json={"url": receiver.url, **fields})
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


def uploaded(somebody: Somebody, content: bytes = b"", name: str = "a.txt", **said: str) -> str:
    return somebody.upload(name, content + uuid4().hex.encode(), **said)


def log(somebody: Somebody, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    answer = somebody.http.get(f"/webhooks/{webhook['id']}/deliveries")
    assert answer.status_code == 200, answer.text
    deliveries: list[dict[str, Any]] = answer.json()["deliveries"]
    return deliveries


def noted(somebody: Somebody, webhook: dict[str, Any], attempts: int = 1) -> dict[str, Any]:
    """The latest delivery, as soon as so many attempts at it are written down."""

    def look() -> dict[str, Any] | None:
        for delivery in log(somebody, webhook):
            ended = [attempt for attempt in delivery["attempts"] if attempt["ended_at"]]
            return delivery if len(ended) == attempts else None
        return None

    return until(look, f"{attempts} attempts are noted")


def read(somebody: Somebody, webhook: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = somebody.http.get(f"/webhooks/{webhook['id']}").json()
    return shown


def hurry(guarded: Guarded, webhook: dict[str, Any]) -> None:
    """Let the time until the next try pass."""
    guarded.admin.execute("update webhooks set paused_until = null where id = %s", [webhook["id"]])
    guarded.admin.execute(
        "update webhook_deliveries set run_at = now() where webhook_id = %s", [webhook["id"]]
    )


# what is told ----------------------------------------------------------------------------


def test_a_completed_document_is_told_of_once_signed_and_logged(
    somebody: Somebody, receiver: Receiver
) -> None:
    webhook = added(somebody, receiver)
    document = uploaded(somebody, collection="plans", external_id="nr 7")
    received = receiver.hears_of(document)
    event = received.verified(webhook["secret"])
    assert event["type"] == "document.completed"
    status = somebody.completed(document)
    assert event["data"] == {
        "document_id": document,
        "status": "completed",
        "version": status["version"],
        "generation": 1,
        "filename": "a.txt",
        "collection": "plans",
        "external_id": "nr 7",
        "error": None,
    }
    assert received.headers["content-type"] == "application/json"
    assert json.dumps(event, separators=(",", ":")).encode() == received.body
    assert set(webhook) == set(shapes.WebhookWithSecret.__annotations__)
    delivery = noted(somebody, webhook)
    assert set(delivery) == set(shapes.Delivery.__annotations__)
    assert set(delivery["attempts"][0]) == set(shapes.DeliveryAttempt.__annotations__)
    assert (delivery["id"], delivery["status"]) == (received.id, "delivered")
    assert (delivery["status_code"], delivery["error"]) == (200, None)
    assert delivery["document_id"] == document
    assert len(receiver.received) == 1


def test_a_failed_document_is_told_of_with_its_reason_and_again_when_it_fails_again(
    somebody: Somebody, receiver: Receiver
) -> None:
    webhook = added(somebody, receiver)
    document = uploaded(somebody, BROKEN, "a.pdf")
    first = receiver.hears_of(document).verified(webhook["secret"])
    assert first["type"] == "document.failed"
    status = somebody.http.get(f"/documents/{document}/status").json()
    assert first["data"]["error"] == status["error"]
    assert somebody.http.post(f"/documents/{document}/retry").status_code == 202
    second = receiver.hears_of(document, 2)
    assert second.id != receiver.hears_of(document).id
    assert second.verified(webhook["secret"])["data"]["version"] > first["data"]["version"]


def test_only_what_is_wanted_is_told(
    guarded: Guarded, somebody: Somebody, receiver: Receiver
) -> None:
    added(somebody, receiver, events=["document.cancelled"])
    completed = uploaded(somebody)
    somebody.completed(completed)
    with guarded.docmill.frozen_workers():
        cancelled = uploaded(somebody)
        assert somebody.http.post(f"/documents/{cancelled}/cancel").status_code == 202
        assert somebody.http.post(f"/documents/{cancelled}/cancel").status_code == 202
    event = json.loads(receiver.hears_of(cancelled).body)
    assert (event["type"], event["data"]["status"]) == ("document.cancelled", "cancelled")
    assert len(receiver.events()) == 1


def test_every_webhook_of_the_owner_is_told_and_no_other(
    guarded: Guarded, somebody: Somebody, receiver: Receiver
) -> None:
    first, second = added(somebody, receiver), added(somebody, receiver)
    stranger = guarded.somebody()
    added(stranger, receiver)
    document = uploaded(somebody)
    until(lambda: len(receiver.told_of(document)) == 2 or None, "both are told")
    for webhook in (first, second):
        assert noted(somebody, webhook)["status"] == "delivered"
    assert len(receiver.received) == 2


def test_a_new_generation_is_told_of_again(somebody: Somebody, receiver: Receiver) -> None:
    webhook = added(somebody, receiver)
    document = uploaded(somebody)
    receiver.hears_of(document)
    assert somebody.http.post(f"/documents/{document}/reprocess").status_code == 202
    again = receiver.hears_of(document, 2).verified(webhook["secret"])
    assert again["data"]["generation"] == 2


def test_a_test_event_is_sent_at_once(somebody: Somebody, receiver: Receiver) -> None:
    webhook = added(somebody, receiver, events=["document.failed"], description="on call")
    answer = somebody.http.post(f"/webhooks/{webhook['id']}/test")
    assert (answer.status_code, answer.json()["event"]) == (202, "webhook.test")
    until(lambda: receiver.received or None, "it comes")
    event = receiver.received[0].verified(webhook["secret"])
    assert event["type"] == "webhook.test"
    assert event["data"] == {"webhook_id": webhook["id"], "description": "on call"}
    assert receiver.received[0].id == answer.json()["id"]


# what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        (answers(500), (500, "It answered 500.")),
        (answers(301, Location="/elsewhere"), (301, "It answered 301.")),
        (closes, (None, "The connection ended before an answer came.")),
    ],
)
def test_what_did_not_arrive_is_sent_again_later_under_the_same_id(
    guarded: Guarded,
    somebody: Somebody,
    receiver: Receiver,
    mood: Mood,
    said: tuple[int | None, str],
) -> None:
    receiver.mood = mood
    webhook = added(somebody, receiver)
    document = uploaded(somebody)
    delivery = noted(somebody, webhook)
    assert delivery["status"] == "waiting"
    assert (delivery["status_code"], delivery["error"]) == said
    assert delivery["next_attempt_at"] > delivery["attempts"][0]["ended_at"]
    assert read(somebody, webhook)["failing_since"] is not None
    receiver.mood = well
    hurry(guarded, webhook)
    again = receiver.hears_of(document, 2)
    again.verified(webhook["secret"])
    assert {received.id for received in receiver.received} == {delivery["id"]}
    assert {received.path for received in receiver.received} == {"/hook"}
    assert noted(somebody, webhook, 2)["status"] == "delivered"
    assert read(somebody, webhook)["failing_since"] is None


def test_who_asks_to_be_left_alone_is_and_with_everything(
    somebody: Somebody, receiver: Receiver
) -> None:
    receiver.mood = answers(429, Retry_After="3600")
    webhook = added(somebody, receiver)
    first = uploaded(somebody)
    delivery = noted(somebody, webhook)
    ended = datetime.fromisoformat(delivery["attempts"][0]["ended_at"])
    due = datetime.fromisoformat(delivery["next_attempt_at"])
    assert due >= ended + timedelta(seconds=3600)
    somebody.completed(second := uploaded(somebody))
    newest = log(somebody, webhook)[0]
    assert (newest["document_id"], newest["status"]) == (second, "waiting")
    assert datetime.fromisoformat(newest["next_attempt_at"]) >= ended + timedelta(seconds=3600)
    assert len(receiver.told_of(first)) == 1
    assert receiver.told_of(second) == []


def test_a_slow_endpoint_holds_up_neither_documents_nor_other_endpoints(
    guarded: Guarded, somebody: Somebody, receiver: Receiver
) -> None:
    with Receiver() as slow:
        slow.mood = hangs
        webhook = added(somebody, slow)
        added(somebody, receiver)
        documents = [uploaded(somebody) for _ in range(12)]
        for document in documents:
            receiver.hears_of(document)
            somebody.completed(document)
        until(lambda: len(slow.received) >= 1 or None, "the slow one was asked")
        row = guarded.admin.execute(
            "select count(*) filter (where status = 'sending') as sending, count(*) as n"
            " from webhook_deliveries where webhook_id = %s",
            [webhook["id"]],
        ).fetchone()
        assert row is not None
        assert row["n"] == len(documents)
        # Two at once, and a few more where two workers counted at the same moment.
        assert 1 <= row["sending"] <= 4


def test_who_is_gone_is_disabled_until_it_is_enabled_again(
    somebody: Somebody, receiver: Receiver
) -> None:
    receiver.mood = answers(410)
    webhook = added(somebody, receiver)
    uploaded(somebody)
    delivery = noted(somebody, webhook)
    assert (delivery["status"], delivery["status_code"]) == ("failed", 410)
    shown = read(somebody, webhook)
    assert (shown["enabled"], shown["disabled"]["reason"]) == (False, "gone")
    assert "PATCH" in shown["disabled"]["detail"]
    missed = uploaded(somebody)
    somebody.completed(missed)
    where = f"/webhooks/{webhook['id']}"
    for refused in (f"{where}/test", f"{where}/deliveries/{delivery['id']}/replay"):
        answer = somebody.http.post(refused)
        assert (answer.status_code, answer.json()["code"]) == (409, "WEBHOOK_DISABLED")
    receiver.mood = well
    enabled = somebody.http.patch(where, json={"enabled": True})
    assert (enabled.status_code, enabled.json()["disabled"]) == (200, None)
    later = uploaded(somebody)
    receiver.hears_of(later)
    assert receiver.told_of(missed) == []
    assert somebody.http.post(f"{where}/deliveries/{delivery['id']}/replay").status_code == 202
    until(lambda: [r.id for r in receiver.received].count(delivery["id"]) == 2 or None, "again")


def test_an_event_that_never_gets_through_is_given_up_and_its_webhook_disabled(
    guarded: Guarded, somebody: Somebody, receiver: Receiver
) -> None:
    receiver.mood = answers(500)
    webhook = added(somebody, receiver)
    document = uploaded(somebody)
    noted(somebody, webhook)
    guarded.admin.execute(
        "update webhooks set failing_since = now() - interval '3 days' where id = %s",
        [webhook["id"]],
    )
    guarded.admin.execute(
        "update webhook_deliveries set attempt = 9 where webhook_id = %s", [webhook["id"]]
    )
    hurry(guarded, webhook)
    receiver.hears_of(document, 2)
    delivery = noted(somebody, webhook, 2)
    assert (delivery["status"], delivery["next_attempt_at"]) == ("failed", None)
    assert read(somebody, webhook)["disabled"]["reason"] == "failing"
    receiver.mood = well
    where = f"/webhooks/{webhook['id']}"
    assert somebody.http.patch(where, json={"enabled": True}).status_code == 200
    replayed = somebody.http.post(f"{where}/deliveries/{delivery['id']}/replay")
    assert replayed.status_code == 202
    assert receiver.hears_of(document, 3).id == delivery["id"]
    assert noted(somebody, webhook, 3)["status"] == "delivered"


def test_what_waits_while_it_is_disabled_by_request_is_sent_when_it_is_enabled(
    somebody: Somebody, receiver: Receiver
) -> None:
    receiver.mood = answers(500)
    webhook = added(somebody, receiver)
    document = uploaded(somebody)
    noted(somebody, webhook)
    where = f"/webhooks/{webhook['id']}"
    disabled = somebody.http.patch(where, json={"enabled": False}).json()
    assert disabled["disabled"]["reason"] == "asked"
    assert log(somebody, webhook)[0]["next_attempt_at"] is None
    receiver.mood = well
    assert somebody.http.patch(where, json={"enabled": True}).json()["enabled"] is True
    receiver.hears_of(document, 2)


def test_a_deleted_webhook_or_document_is_told_of_no_more(
    guarded: Guarded, somebody: Somebody, receiver: Receiver
) -> None:
    receiver.mood = answers(500)
    webhook, other = added(somebody, receiver), added(somebody, receiver)
    document = uploaded(somebody)
    noted(somebody, webhook)
    noted(somebody, other)
    assert somebody.http.delete(f"/webhooks/{webhook['id']}").status_code == 204
    assert somebody.http.delete(f"/webhooks/{webhook['id']}").status_code == 404
    assert somebody.http.delete(f"/documents/{document}").status_code == 204
    assert log(somebody, other) == []
    left = guarded.admin.execute(
        "select count(*) as n from webhook_attempts where owner_id = %s", [somebody.owner]
    ).fetchone()
    assert left == {"n": 0}


# what owners do --------------------------------------------------------------------------


def test_during_a_rotation_both_secrets_verify_and_afterwards_the_new_one(
    guarded: Guarded, somebody: Somebody, receiver: Receiver
) -> None:
    webhook = added(somebody, receiver)
    rotated = somebody.http.post(f"/webhooks/{webhook['id']}/rotate-secret").json()
    assert rotated["secret"] != webhook["secret"]
    assert len(rotated["former_secrets_end_at"]) == 1
    both = receiver.hears_of(uploaded(somebody))
    both.verified(webhook["secret"])
    both.verified(rotated["secret"])
    guarded.admin.execute("update webhook_secrets set expires_at = now() where expires_at > now()")
    after = receiver.hears_of(uploaded(somebody))
    after.verified(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        after.verified(webhook["secret"])


def test_a_secret_is_shown_once_and_nowhere_else(
    guarded: Guarded, somebody: Somebody, receiver: Receiver
) -> None:
    receiver.mood = answers(500)
    webhook = added(somebody, receiver)
    uploaded(somebody)
    noted(somebody, webhook)
    secret = webhook["secret"].removeprefix("whsec_")
    where = f"/webhooks/{webhook['id']}"
    somebody.http.patch(where, json={"description": "changed"})
    said = [somebody.http.get(path).text for path in ("/webhooks", where, f"{where}/deliveries")]
    assert not any(secret in text for text in [*said, *guarded.docmill.started.said])
    assert read(somebody, webhook)["description"] == "changed"


def test_the_log_is_read_page_by_page(somebody: Somebody, receiver: Receiver) -> None:
    webhook = added(somebody, receiver)
    where = f"/webhooks/{webhook['id']}"
    sent = [somebody.http.post(f"{where}/test").json()["id"] for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        paged = f"{where}/deliveries?page_size=2&page_token={token}"
        page = somebody.http.get(paged).json()
        seen += [delivery["id"] for delivery in page["deliveries"]]
        if not (token := page["next_page_token"]):
            break
    assert seen == sent[::-1]
    bad = somebody.http.get(f"{where}/deliveries", params={"page_token": "nonsense"})
    assert bad.json()["code"] == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"url": "http://8.8.8.8/"}, "WEBHOOK_URL_REFUSED"),
        ({"url": "http://169.254.169.254/latest"}, "WEBHOOK_URL_REFUSED"),
        ({"url": "https://u:p@8.8.8.8/"}, "WEBHOOK_URL_REFUSED"),
        ({"url": "ftp://8.8.8.8/"}, "WEBHOOK_URL_REFUSED"),
        ({"url": "https://no-such-name.invalid/"}, "WEBHOOK_URL_REFUSED"),
        ({"url": "x" * 2001}, "FIELD_INVALID"),
        ({}, "FIELD_INVALID"),
        ({"url": "https://8.8.8.8/", "events": []}, "FIELD_INVALID"),
        ({"url": "https://8.8.8.8/", "events": ["document.born"]}, "FIELD_INVALID"),
        ({"url": "https://8.8.8.8/", "secret": "mine"}, "FIELD_INVALID"),
        ({"url": "https://8.8.8.8/", "description": "\0"}, "FIELD_INVALID"),
    ],
)
def test_what_can_be_no_webhook_is_refused_and_leaves_nothing(
    somebody: Somebody, receiver: Receiver, asked: dict[str, Any], code: str
) -> None:
    answer = somebody.http.post("/webhooks", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert somebody.http.get("/webhooks").json()["webhooks"] == []
    if code == "WEBHOOK_URL_REFUSED":
        webhook = added(somebody, receiver)
        changed = somebody.http.patch(f"/webhooks/{webhook['id']}", json=asked)
        assert (changed.status_code, changed.json()["code"]) == (422, code)
        assert read(somebody, webhook)["url"] == receiver.url


def test_an_owner_has_so_many_webhooks_and_no_more(somebody: Somebody, receiver: Receiver) -> None:
    for _ in range(20):
        added(somebody, receiver)
    answer = somebody.http.post("/webhooks", json={"url": receiver.url})
    assert (answer.status_code, answer.json()["code"]) == (409, "TOO_MANY_WEBHOOKS")


def test_reading_takes_the_scope_read_and_changing_takes_upload(
    guarded: Guarded, receiver: Receiver
) -> None:
    owner = f"owner {uuid4().hex}"
    writer, reader = (guarded.somebody(scope, owner=owner) for scope in ("upload", "read"))
    webhook = added(writer, receiver)
    where = f"/webhooks/{webhook['id']}"
    assert reader.http.get(where).status_code == 200
    for method, path in (
        ("POST", "/webhooks"),
        ("PATCH", where),
        ("DELETE", where),
        ("POST", f"{where}/test"),
        ("POST", f"{where}/rotate-secret"),
    ):
        answer = reader.http.request(method, path, json={"url": receiver.url})
        assert answer.json()["code"] == "SCOPE_MISSING", (method, path)
    assert writer.http.get(where).status_code == 403
