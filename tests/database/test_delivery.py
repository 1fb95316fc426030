"""What is claimed for webhooks, how a try is noted, and what follows for the webhook."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from docmill import database, delivery, retention
from docmill.database import Addresses, Sync
from docmill.delivery import (
    AT_ONCE_PER_OWNER,
    AT_ONCE_PER_WEBHOOK,
    LONGEST_PAUSE_SECONDS,
    Answered,
    Claimed,
    GaveBack,
    Unanswered,
)
from made_rows import OWNER

ANOTHER = UUID(int=255)
FAILS = Answered(500)
KEEP = retention.Keep(30, 30, 365)


def webhook(admin: Sync, deliveries: int, owner: UUID = OWNER, **columns: object) -> str:
    """A webhook to which so much is to be sent."""
    row = admin.execute(
        "insert into webhooks (owner_id, url, events) values"
        " (%s, 'https://a.example/', '{document.failed}') returning id::text",
        [owner],
    ).fetchone()
    assert row is not None
    if columns:
        changed = ", ".join(f"{name} = {value}" for name, value in columns.items())
        admin.execute(f"update webhooks set {changed} where id = %s".encode(), [row["id"]])
    admin.execute(
        "insert into webhook_secrets (owner_id, webhook_id, secret)"
        " values (%s, %s, sha256('secret'))",
        [owner, row["id"]],
    )
    admin.execute(
        "insert into webhook_deliveries (owner_id, webhook_id, event, body)"
        " select %s, %s, 'webhook.test', '{}' from generate_series(1, %s)",
        [owner, row["id"], deliveries],
    )
    return str(row["id"])


def claimed(connection: Sync, senders: int = 8, worker: str = "w1") -> list[Claimed]:
    return delivery.claim(connection, worker, senders)


def of(claims: Sequence[Claimed], which: str) -> int:
    return sum(str(claim.webhook_id) == which for claim in claims)


def one(admin: Sync, query: str, *parameters: object) -> dict[str, Any]:
    row = admin.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return row


def test_a_webhook_has_a_few_under_way_and_others_get_theirs(
    admin: Sync, worker_connection: Sync
) -> None:
    many, few = webhook(admin, 50), webhook(admin, 1)
    first = claimed(worker_connection)
    assert (of(first, many), of(first, few)) == (AT_ONCE_PER_WEBHOOK, 1)
    assert claimed(worker_connection, worker="w2") == []
    assert delivery.note(worker_connection, first[0], Answered(200))
    assert len(claimed(worker_connection, worker="w2")) == 1


def test_one_that_fails_is_tried_alone_and_one_that_rests_or_is_disabled_not_at_all(
    admin: Sync, worker_connection: Sync
) -> None:
    failing = webhook(admin, 5, failures=1, failing_since="now()")
    rests = webhook(admin, 5, paused_until="now() + interval '1 minute'")
    disabled = webhook(admin, 5, disabled_reason="'gone'", disabled_at="now()")
    claims = claimed(worker_connection)
    assert [of(claims, which) for which in (failing, rests, disabled)] == [1, 0, 0]
    assert delivery.count_due(worker_connection) == 4


def test_owners_take_turns_however_many_webhooks_one_has(
    admin: Sync, worker_connection: Sync
) -> None:
    for _ in range(20):
        webhook(admin, 2)
    other = webhook(admin, 2, ANOTHER)
    claims = claimed(worker_connection, senders=4)
    assert of(claims, other) == 2
    assert len(claimed(worker_connection)) == AT_ONCE_PER_OWNER - 2
    assert claimed(worker_connection, worker="w2") == []


def test_a_claim_carries_everything_that_a_delivery_needs(
    admin: Sync, worker_connection: Sync
) -> None:
    which = webhook(admin, 1)
    for n in range(4):
        admin.execute(
            "insert into webhook_secrets (owner_id, webhook_id, secret, created_at, expires_at)"
            " values (%s, %s, sha256(%s), now() - make_interval(hours => %s), now() + %s)",
            [OWNER, which, str(n).encode(), n + 1, "1 hour" if n else "-1 second"],
        )
    (claim,) = claimed(worker_connection)
    row = one(admin, "select sha256('secret') as newest, sha256('1') as b, sha256('2') as c")
    # Three at most, the newest first, and none that has come to its end.
    assert claim.secrets == (row["newest"], row["b"], row["c"])
    assert (claim.url, claim.body, claim.tries) == ("https://a.example/", b"{}", 1)
    now = one(admin, "select extract(epoch from now())::int as now")["now"]
    assert abs(claim.at - now) <= 2


def test_a_late_note_is_refused(admin: Sync, worker_connection: Sync) -> None:
    webhook(admin, 1)
    (late,) = claimed(worker_connection)
    admin.execute("update webhook_deliveries set lease_until = now() - interval '1 second'")
    delivery.reap(worker_connection)
    (claim,) = claimed(worker_connection, worker="w2")
    assert not delivery.note(worker_connection, late, Answered(200))
    assert one(admin, "select status from webhook_deliveries") == {"status": "sending"}
    assert delivery.note(worker_connection, claim, FAILS)
    assert not delivery.note(worker_connection, claim, Answered(200))
    errors = admin.execute("select error from webhook_attempts order by attempt").fetchall()
    assert [row["error"] for row in errors] == [
        "The worker was lost; it may have arrived.",
        "It answered 500.",
    ]


def test_a_lease_that_holds_is_not_reaped(admin: Sync, worker_connection: Sync) -> None:
    webhook(admin, 1)
    claimed(worker_connection)
    delivery.reap(worker_connection)
    assert one(admin, "select status from webhook_deliveries") == {"status": "sending"}


def test_a_webhook_that_fails_is_left_alone_longer_each_time_and_not_for_ever(
    admin: Sync, worker_connection: Sync
) -> None:
    webhook(admin, 1)
    longest = []
    for failures in range(14):
        admin.execute("update webhooks set paused_until = null")
        admin.execute("update webhook_deliveries set run_at = now(), released = attempt")
        (claim,) = claimed(worker_connection)
        delivery.note(worker_connection, claim, Unanswered("no"))
        row = one(
            admin,
            "select failures, extract(epoch from paused_until - now())::float8 as pause"
            " from webhooks",
        )
        assert row["failures"] == failures + 1
        most = min(LONGEST_PAUSE_SECONDS, 2.0**failures)
        assert most / 2 - 1 <= row["pause"] <= most
        longest.append(most)
    assert longest[-1] == LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize(
    ("attempt", "since", "reason"),
    [
        (10, "3 days", "failing"),
        (10, "1 day", None),  # something got through since
        (9, "3 days", None),  # one try is left
    ],
)
def test_a_webhook_is_disabled_when_all_tries_failed_and_nothing_got_through_for_days(
    admin: Sync, worker_connection: Sync, attempt: int, since: str, reason: str | None
) -> None:
    webhook(admin, 1, failures=9, failing_since=f"now() - interval '{since}'")
    admin.execute("update webhook_deliveries set attempt = %s", [attempt - 1])
    (claim,) = claimed(worker_connection)
    delivery.note(worker_connection, claim, FAILS)
    assert one(admin, "select disabled_reason as r from webhooks") == {"r": reason}
    status = one(admin, "select status from webhook_deliveries")["status"]
    assert status == ("failed" if attempt == 10 else "waiting")


def test_a_scheduler_is_told_of_what_is_to_be_sent(admin: Sync, worker_connection: Sync) -> None:
    def is_due() -> bool:
        return bool(one(admin, "select has_due_work() as due")["due"])

    assert not is_due()
    which = webhook(admin, 1)
    assert is_due()
    admin.execute("update webhooks set paused_until = now() + interval '1 minute'")
    assert not is_due()
    admin.execute("update webhooks set paused_until = null")
    (claim,) = claimed(worker_connection)
    assert not is_due()
    admin.execute("update webhook_deliveries set lease_until = now() - interval '1 second'")
    assert is_due()
    assert str(claim.webhook_id) == which


def test_what_is_given_back_costs_nothing_and_says_nothing_of_the_webhook(
    admin: Sync, worker_connection: Sync
) -> None:
    webhook(admin, 1)
    (claim,) = claimed(worker_connection)
    assert delivery.note(worker_connection, claim, GaveBack())
    assert one(admin, "select failures from webhooks") == {"failures": 0}
    (again,) = claimed(worker_connection)
    assert (again.id, again.attempt, again.tries) == (claim.id, 2, 1)


def test_of_a_webhook_that_is_deleted_meanwhile_nothing_is_noted(
    admin: Sync, worker_connection: Sync
) -> None:
    which = webhook(admin, 1)
    (claim,) = claimed(worker_connection)
    admin.execute("delete from webhooks where id = %s", [which])
    assert not delivery.note(worker_connection, claim, Answered(200))
    assert not delivery.note(worker_connection, replace(claim, id=uuid4()), Answered(200))


def test_the_log_of_long_ago_is_dropped_and_so_are_secrets_that_ended(
    admin: Sync, worker_connection: Sync
) -> None:
    which = webhook(admin, 3)
    claimed(worker_connection, 1)
    admin.execute("update webhook_deliveries set created_at = now() - interval '31 days'"
                  " where status = 'sending' or id = (select id from webhook_deliveries"
                  " where status = 'waiting' limit 1)")  # fmt: skip
    admin.execute(
        "insert into webhook_secrets (owner_id, webhook_id, secret, expires_at)"
        " values (%s, %s, sha256('old'), now() - interval '1 day')",
        [OWNER, which],
    )
    retention.prune(worker_connection, KEEP)
    # One was young, one is under way.
    assert one(admin, "select count(*) as n from webhook_deliveries") == {"n": 2}
    assert one(admin, "select count(*) as n from webhook_secrets") == {"n": 1}


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("webhooks", "disabled_at = now()"),
        ("webhooks", "disabled_reason = 'bored', disabled_at = now()"),
        ("webhooks", "events = '{}'"),
        ("webhooks", "events = '{document.born}'"),
        ("webhooks", "failures = 1"),
        ("webhook_deliveries", "status = 'sending'"),
        ("webhook_deliveries", "status = 'delivered'"),
        ("webhook_deliveries", "status = 'lost'"),
        ("webhook_deliveries", "released = 1"),
        ("webhook_secrets", "secret = 'short'"),
    ],
)
def test_the_database_refuses_what_is_not_true(admin: Sync, table: str, change: str) -> None:
    webhook(admin, 1)
    with pytest.raises(Exception, match="violates check constraint"):
        admin.execute(f"update {table} set {change}".encode())


def test_the_api_can_not_read_a_secret_even_of_the_owner_who_asks(
    admin: Sync, addresses: Addresses
) -> None:
    webhook(admin, 1)
    with database.connect(addresses.api) as connection:
        claims = json.dumps({"sub": str(OWNER)})
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        seen = connection.execute("select webhook_id from webhook_secrets").fetchall()
        assert len(seen) == 1
        with pytest.raises(Exception, match="permission denied"):
            connection.execute("select secret from webhook_secrets")
