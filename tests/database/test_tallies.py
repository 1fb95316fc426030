"""What /metrics counts is what happened: each end once, in its own commit, and never back."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

import made_rows
from docmill import database, delivery, job_queue, metrics, sampling
from docmill.database import Addresses, Sync
from docmill.errors import Failure
from docmill.model import Job
from docmill.retry import RetryPolicy

POLICY = RetryPolicy(base_seconds=0.0, cap_seconds=0.0)
PASSING = Failure("PARSER_DIED", "It died.")


@pytest.fixture
def api(addresses: Addresses) -> Iterator[Sync]:
    """A connection of the API's role, for nobody's rows."""
    with database.connect(addresses.api, autocommit=True) as connection:
        yield connection


def counted(api: Sync) -> dict[tuple[str, str, str], int]:
    """How often each end of each subject was counted, as the API may ask."""
    counts: dict[tuple[str, str, str], int] = {}
    for row in api.execute(metrics.STATEMENTS.read_tallies).fetchall():
        key = (row["subject"], row["outcome"], row["reason"])
        counts[key] = counts.get(key, 0) + row["n"]
    return counts


def units(api: Sync, subject: str) -> int:
    rows = api.execute(metrics.STATEMENTS.read_tallies).fetchall()
    return sum(row["units"] for row in rows if row["subject"] == subject)


def claimed(admin: Sync, worker: Sync, *, max_attempts: int = 5) -> Job:
    made_rows.uploaded(admin, max_attempts=max_attempts)
    return made_rows.claimed(worker)


def succeed(_: Sync, worker: Sync, job: Job) -> None:
    with worker.transaction():
        job_queue.finish(worker, [(job, 7)])


def fail(_: Sync, worker: Sync, job: Job) -> None:
    with worker.transaction():
        job_queue.fail(worker, job, Failure("FILE_ENCRYPTED"), POLICY)


def fail_once(_: Sync, worker: Sync, job: Job) -> None:
    with worker.transaction():
        job_queue.fail(worker, job, PASSING, POLICY)


def lose(admin: Sync, worker: Sync, _: Job) -> None:
    admin.execute("update processing_jobs set lease_until = now() - interval '1 second'"
                  " where status = 'running'")  # fmt: skip
    assert len(job_queue.reap(worker, POLICY)) == 1


def release(_: Sync, worker: Sync, job: Job) -> None:
    assert job_queue.release(worker, job)


def cancel(_: Sync, worker: Sync, job: Job) -> None:
    worker.execute(job_queue.STATEMENTS.revoke_jobs, {"document_id": job.document_id})


def delete(admin: Sync, _: Sync, job: Job) -> None:
    admin.execute("delete from documents where id = %s", [job.document_id])


@pytest.mark.parametrize(
    ("end", "counted_as"),
    [
        (succeed, ("succeeded", "")),
        (fail, ("failed", "FILE_ENCRYPTED")),
        (fail_once, ("retried", "PARSER_DIED")),
        (lose, ("lease_expired", "LEASE_EXPIRED")),
        (release, ("released", "")),
        (cancel, ("cancelled", "")),
        (delete, ("deleted", "")),
    ],
)
def test_each_end_of_an_attempt_is_counted_once(
    admin: Sync, worker_connection: Sync, api: Sync, end: Any, counted_as: tuple[str, str]
) -> None:
    end(admin, worker_connection, claimed(admin, worker_connection))
    ended = {key: n for key, n in counted(api).items() if key[0] == "parse"}
    assert ended == {("parse", *counted_as): 1}
    assert units(api, "parse") == (7 if end is succeed else 0)


def test_attempts_that_end_together_are_counted_one_by_one_in_few_rows(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    *ended, lost = [claimed(admin, worker_connection) for _ in range(5)]
    admin.execute("update job_attempts set started_at = now()")  # they take equally long
    with worker_connection.transaction():
        taken_over = replace(lost, token=uuid4())
        job_queue.finish(worker_connection, [(job, 7) for job in [*ended, taken_over]])
    assert counted(api) == {("parse", "succeeded", ""): len(ended)}
    assert units(api, "parse") == 7 * len(ended)
    rows = admin.execute("select count(*)::int as rows from tallies").fetchone()
    assert rows == {"rows": 1}


def test_a_worker_lost_on_the_last_try_is_a_failure(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    claimed(admin, worker_connection, max_attempts=1)
    admin.execute("update processing_jobs set lease_until = now() - interval '1 second'")
    (lost,) = job_queue.lost_for_good(worker_connection)
    with worker_connection.transaction():
        assert job_queue.fail_for_good(
            worker_connection, lost, Failure("WORKER_LOST"), expired=True
        )
    assert counted(api) == {
        ("parse", "failed", "WORKER_LOST"): 1,
        ("document", "failed", "WORKER_LOST"): 1,
    }


def test_what_is_rolled_back_is_not_counted(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    job = claimed(admin, worker_connection)
    with worker_connection.transaction(force_rollback=True):
        job_queue.finish(worker_connection, [(job, 1)])
    assert counted(api) == {}


def test_counts_stay_when_documents_go_and_when_they_are_summed_up(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    for end in (succeed, succeed, fail, fail_once):
        job = claimed(admin, worker_connection)
        end(admin, worker_connection, job)
        worker_connection.execute(job_queue.STATEMENTS.revoke_jobs,
                                  {"document_id": job.document_id})  # fmt: skip
    before = sums(api)
    admin.execute("delete from documents")
    assert sums(api) == before
    for _ in range(2):  # what was summed up is summed up again
        admin.execute("delete from queue_samples")
        sampling.sample(worker_connection)
        assert sums(api) == before
    rows = admin.execute("select count(*) as n from tallies").fetchone()
    assert (rows or {})["n"] <= len(before)


def sums(api: Sync) -> list[tuple[Any, ...]]:
    rows = api.execute(metrics.STATEMENTS.read_tallies).fetchall()
    return sorted(tuple(row.values()) for row in rows)


def test_summing_up_beside_new_counts_and_another_who_sums_up_loses_and_doubles_nothing(
    admin: Sync, addresses: Addresses, api: Sync
) -> None:
    add = "select tally('parse', 'succeeded', '', 0.2, 1)"
    with (
        database.connect(addresses.worker) as first,
        database.connect(addresses.worker, autocommit=True) as second,
    ):
        first.execute(add)
        first.commit()
        first.execute(sampling.STATEMENTS.sum_tallies)
        second.execute(add)
        assert units(api, "parse") == 2
        first.commit()
        assert units(api, "parse") == 2
        second.execute(sampling.STATEMENTS.sum_tallies)
    rows = admin.execute("select n, units from tallies").fetchall()
    assert rows == [{"n": 2, "units": 2}]


def test_a_document_is_counted_at_each_end_with_its_reason(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    job = claimed(admin, worker_connection)
    fail(admin, worker_connection, job)
    assert counted(api)["document", "failed", "FILE_ENCRYPTED"] == 1
    claims = json.dumps({"sub": str(made_rows.OWNER)})
    admin.execute("select set_config('request.jwt.claims', %s, false)", [claims])
    which = {"document_id": job.document_id, "generation": job.generation}
    admin.execute("update documents set status = 'queued', error = null where id = %(document_id)s",
                  which)  # fmt: skip
    admin.execute(job_queue.STATEMENTS.requeue_ended_jobs, which)
    again = made_rows.claimed(worker_connection)
    fail(admin, worker_connection, again)
    assert counted(api)["document", "failed", "FILE_ENCRYPTED"] == 2


def test_tries_to_tell_a_webhook_are_counted_by_the_answer(
    admin: Sync, worker_connection: Sync, api: Sync
) -> None:
    for status in (204, 500, None):
        made = one_delivery(admin)
        (claimed,) = delivery.claim(worker_connection, "w1", 8)
        assert claimed.id == made
        outcome = delivery.Unanswered("no") if status is None else delivery.Answered(status)
        with worker_connection.transaction():
            assert delivery.note(worker_connection, claimed, outcome)
        admin.execute("delete from webhooks")
    assert counted(api) == {
        ("webhook", "2xx", ""): 1, ("webhook", "5xx", ""): 1, ("webhook", "none", ""): 1
    }  # fmt: skip


def one_delivery(admin: Sync) -> UUID:
    webhook = {"id": uuid4(), "owner_id": made_rows.OWNER}
    admin.execute("insert into webhooks (id, owner_id, url, events) values (%(id)s, %(owner_id)s,"
                  " 'https://a.example/', '{document.completed}')", webhook)  # fmt: skip
    admin.execute("insert into webhook_secrets (owner_id, webhook_id, secret)"
                  " values (%(owner_id)s, %(id)s, sha256('secret'))", webhook)  # fmt: skip
    row = admin.execute("insert into webhook_deliveries (owner_id, webhook_id, event, body)"
                        " values (%(owner_id)s, %(id)s, 'webhook.test', '{}') returning id",
                        webhook).fetchone()  # fmt: skip
    return UUID(str((row or {})["id"]))
