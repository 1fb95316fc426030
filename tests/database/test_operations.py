"""What operators see over all owners, what the samples say, and what is written down of acts."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

import made_rows
from docmill import database, job_queue, sampling
from docmill.database import Addresses, Sync
from docmill.errors import Failure
from docmill.retry import RetryPolicy

ANOTHER = UUID("00000000-0000-4000-8000-0000000000ff")
POLICY = RetryPolicy(base_seconds=2.0, cap_seconds=300.0)


@pytest.fixture
def api(addresses: Addresses) -> Iterator[Sync]:
    """A connection of the API's role, for nobody's rows."""
    with database.connect(addresses.api, autocommit=True) as connection:
        yield connection


def rows(connection: Sync, query: str, *parameters: Any) -> list[dict[str, Any]]:
    return connection.execute(query.encode(), list(parameters)).fetchall()


def failed(worker: Sync, code: str) -> None:
    job = made_rows.claimed(worker)
    assert job_queue.fail(worker, job, Failure(code, retryable=False), POLICY) == "failed"


def test_stages_and_owners_are_counted_over_all_owners(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    for owner in (made_rows.OWNER, made_rows.OWNER, ANOTHER):
        made_rows.uploaded(admin, owner)
    made_rows.claimed(worker_connection)
    parse, chunk, embed = rows(api, "select * from operator_stages()")
    assert (parse["stage"], parse["due"], parse["running"]) == ("parse", 2, 1)
    assert parse["oldest_at"] is not None
    assert (chunk["due"], embed["running"]) == (0, 0)
    owners = {row["owner_id"]: row for row in rows(api, "select * from operator_owners()")}
    assert sum(row["waiting"] + row["running"] for row in owners.values()) == 3
    assert owners[ANOTHER]["waiting"] + owners[ANOTHER]["running"] == 1


def test_jobs_that_wait_for_a_later_try_are_told_from_those_that_are_due(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    made_rows.uploaded(admin)
    job = made_rows.claimed(worker_connection)
    job_queue.fail(worker_connection, job, Failure("PARSER_DIED", retryable=True), POLICY)
    parse = rows(api, "select * from operator_stages()")[0]
    assert (parse["due"], parse["later"], parse["oldest_at"]) == (0, 1, None)
    (waiting,) = rows(api, "select * from operator_failures()")
    assert (waiting["state"], waiting["code"], waiting["documents"]) == (
        "waiting",
        "PARSER_DIED",
        1,
    )


def test_failures_are_grouped_by_their_reason(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    for owner, code in [
        (made_rows.OWNER, "FILE_ENCRYPTED"),
        (ANOTHER, "FILE_ENCRYPTED"),
        (ANOTHER, "TYPE_UNSUPPORTED"),
    ]:
        made_rows.uploaded(admin, owner)
        failed(worker_connection, code)
    found = rows(api, "select state, code, stage, documents, owners from operator_failures()")
    assert [tuple(row.values()) for row in found] == [
        ("failed", "FILE_ENCRYPTED", "parse", 2, 2),
        ("failed", "TYPE_UNSUPPORTED", "parse", 1, 1),
    ]


@pytest.mark.parametrize(
    ("silent", "state"), [("0 seconds", "live"), ("6 seconds", "late"), ("11 seconds", "gone")]
)
def test_a_worker_is_told_by_the_age_of_its_beat(
    admin: Sync, worker_connection: Sync, api: Sync, silent: str, state: str
) -> None:
    made_rows.uploaded(admin)
    job = made_rows.claimed(worker_connection)
    admin.execute(
        "insert into workers (id, slots, seen_at) values ('w1', 2, now() - %s::interval)", [silent]
    )
    (worker,) = rows(api, "select * from operator_workers(10)")
    assert worker["state"] == state
    (held,) = worker["holds"]
    assert (held["job_id"], held["stage"], held["attempt"]) == (job.id, "parse", 1)


# the samples -----------------------------------------------------------------------------


def samples(admin: Sync) -> dict[str, dict[str, Any]]:
    found = rows(admin, "select * from queue_samples")
    return {row["subject"]: row for row in found}


def test_a_sample_says_how_the_queue_stands_and_how_long_the_oldest_waits(
    admin: Sync, worker_connection: Sync
) -> None:
    for _ in range(3):
        made_rows.uploaded(admin)
    admin.execute("update processing_jobs set run_at = now() - interval '90 seconds'")
    made_rows.claimed(worker_connection)
    sampling.sample(worker_connection)
    found = samples(admin)
    assert set(found) == {"document", "parse", "chunk", "embed"}
    for subject in ("document", "parse"):
        assert (found[subject]["waiting"], found[subject]["running"]) == (2, 1)
        assert 90 <= found[subject]["oldest_seconds"] <= 150
    assert (found["embed"]["waiting"], found["embed"]["oldest_seconds"]) == (0, None)


def test_a_sample_counts_what_ended_in_the_minute_before(
    admin: Sync, worker_connection: Sync
) -> None:
    for _ in range(2):
        made_rows.uploaded(admin)
    job = made_rows.claimed(worker_connection)
    job_queue.finish(worker_connection, [(job, 1)])
    failed(worker_connection, "FILE_ENCRYPTED")
    admin.execute("alter table job_attempts disable trigger ended_is_history")
    admin.execute("update job_attempts set ended_at = ended_at - interval '1 minute'")
    admin.execute("alter table job_attempts enable trigger ended_is_history")
    admin.execute("update documents set changed_at = changed_at - interval '1 minute'")
    sampling.sample(worker_connection)
    found = samples(admin)
    assert (found["parse"]["finished"], found["parse"]["failed"]) == (1, 1)
    assert (found["document"]["finished"], found["document"]["failed"]) == (0, 1)


def test_a_minute_is_sampled_once_and_old_samples_go(admin: Sync, worker_connection: Sync) -> None:
    admin.execute(
        "insert into queue_samples (at, subject, waiting, running, finished, failed) values"
        " (now() - interval '8 days', 'parse', 1, 1, 1, 1)"
    )
    sampling.sample(worker_connection)
    first = samples(admin)
    made_rows.uploaded(admin)
    sampling.sample(worker_connection)
    count = rows(
        admin, "select count(*) as samples, count(distinct at) as minutes from queue_samples"
    )
    if count != [{"samples": 4, "minutes": 1}]:  # a minute began between the two
        assert count == [{"samples": 8, "minutes": 2}]
    else:
        assert samples(admin) == first


# the acts --------------------------------------------------------------------------------


def acts(admin: Sync) -> list[tuple[Any, ...]]:
    found = rows(admin, "select operator, action, subject from operator_actions order by id")
    return [tuple(row.values()) for row in found]


def test_pausing_and_limiting_are_written_down_for_what_they_were(admin: Sync, api: Sync) -> None:
    for rests, most in [(True, None), (True, 3), (False, 3), (False, None)]:
        api.execute("select operator_limit('ann', 'embed', %s, %s)", [rests, most])
    assert acts(admin) == [
        ("ann", "pause", "embed"),
        ("ann", "limit", "embed"),
        ("ann", "resume", "embed"),
        ("ann", "limit", "embed"),
    ]
    embed = rows(api, "select paused, max_running from operator_stages() where stage = 'embed'")
    assert embed == [{"paused": False, "max_running": None}]


def test_draining_nobody_does_and_says_nothing(admin: Sync, api: Sync) -> None:
    admin.execute("insert into workers (id, slots) values ('w1', 2)")
    assert rows(api, "select operator_drain('ann', 'w2', true) as done") == [{"done": False}]
    assert rows(api, "select operator_drain('ann', 'w1', true) as done") == [{"done": True}]
    assert acts(admin) == [("ann", "drain", "w1")]


def test_a_bulk_retry_takes_what_failed_alike_before_its_moment(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    made = {}
    for code in ("FILE_ENCRYPTED", "TYPE_UNSUPPORTED", "FILE_ENCRYPTED"):
        document = made_rows.uploaded(admin)
        failed(worker_connection, code)
        made[document.document_id] = code
    call = "select id from operator_failed('ann', 'FILE_ENCRYPTED', 'parse', %s, 10)"
    now = rows(admin, "select clock_timestamp() as now")[0]["now"]
    found = {row["id"] for row in rows(api, call, now)}
    assert found == {of for of, code in made.items() if code == "FILE_ENCRYPTED"}
    assert rows(api, call, "2020-01-01") == []
    assert acts(admin) == [("ann", "retry", "FILE_ENCRYPTED")]


@pytest.mark.parametrize("table", ["queue_samples", "operator_actions"])
def test_the_api_sees_these_tables_by_the_functions_alone(api: Sync, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        api.execute(f"select * from {table}".encode())


def test_an_ordinary_login_may_not_call_them(admin: Sync) -> None:
    role = f"somebody_{uuid4().hex}"
    admin.execute(f"create role {role}".encode())
    try:
        admin.execute(f"grant usage on schema docmill to {role}".encode())
        admin.execute(f"set role {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute("select * from docmill.operator_owners()")
    finally:
        admin.execute("reset role")
        admin.execute(f"drop owned by {role}".encode())
        admin.execute(f"drop role {role}".encode())
