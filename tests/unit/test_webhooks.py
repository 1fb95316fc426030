"""What follows from a try, and signatures that the reference library verifies."""

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from docmill import webhook_signing
from docmill.delivery import (
    CHANCE,
    WAITS,
    Answered,
    GaveBack,
    Outcome,
    Step,
    Unanswered,
    next_step,
)

FAILURES: list[Outcome] = [
    Unanswered("x"), Answered(199), Answered(301), Answered(400), Answered(404), Answered(429),
    Answered(500), Answered(503),
]  # fmt: skip


@pytest.mark.parametrize("status", [200, 201, 204, 299])
@pytest.mark.parametrize("tries", [1, 10])
def test_any_2xx_is_the_end(status: int, tries: int) -> None:
    assert next_step(Answered(status), tries) == Step("delivered")


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_failure_is_tried_again_ever_later_and_not_for_ever(outcome: Outcome) -> None:
    waits = []
    for tries in range(1, len(WAITS) + 1):
        step = next_step(outcome, tries)
        assert step.status == "waiting"
        waits.append(step.wait)
        assert next_step(outcome, tries, 1).wait == pytest.approx(step.wait * (1 + CHANCE))
        assert next_step(outcome, tries, -1).wait == pytest.approx(step.wait * (1 - CHANCE))
    assert waits == sorted(waits)
    assert next_step(outcome, len(WAITS) + 1) == Step("failed")


def test_retry_after_is_kept_to_where_it_is_longer() -> None:
    assert next_step(Answered(429, 60.0), 1).wait == 60.0
    assert next_step(Answered(503, 1.0), 2).wait == WAITS[1]


def test_who_is_gone_is_not_asked_again() -> None:
    assert next_step(Answered(410), 1) == Step("failed")


def test_what_was_given_back_is_due_at_once() -> None:
    assert next_step(GaveBack(), 10) == Step("waiting", 0.0)


def test_the_reference_library_verifies_each_secret_of_a_rotation_and_no_other() -> None:
    first, second, other = (webhook_signing.new_secret() for _ in range(3))
    body = '{"type":"document.completed","data":{"filename":"Mühle.pdf"}}'.encode()
    headers = dict(webhook_signing.headers("id", int(time.time()), body, [second, first]))
    for secret in (first, second):
        event = Webhook(webhook_signing.shown(secret)).verify(body, headers)
        assert event["data"]["filename"] == "Mühle.pdf"
    for wrong_secret, wrong_body in ((other, body), (first, body + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(webhook_signing.shown(wrong_secret)).verify(wrong_body, headers)
