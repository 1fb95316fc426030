"""The queue's promises, one by one, on a real PostgreSQL."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest

from docmill import database, documents, job_queue
from docmill.database import Addresses, Sync
from docmill.documents import Growth
from docmill.errors import Failure, LeaseLost
from docmill.job_queue import Claimant, Part
from docmill.model import Job, Notice
from docmill.retry import RetryPolicy, wait_bounds
from made_rows import LEASE_SECONDS, OWNER, claimed, uploaded

POLICY = RetryPolicy(base_seconds=2.0, cap_seconds=300.0)
ANOTHER = UUID("00000000-0000-4000-8000-0000000000ff")
W1 = Claimant("w1", LEASE_SECONDS)


def document_of(admin: Sync) -> dict[str, object]:
    row = admin.execute("select * from documents").fetchone()
    assert row is not None
    return row


def attempts_of(admin: Sync) -> list[tuple[int, str | None]]:
    rows = admin.execute("select attempt, outcome from job_attempts order by job_id, attempt")
    return [(row["attempt"], row["outcome"]) for row in rows.fetchall()]


def expire_leases(admin: Sync) -> None:
    admin.execute(
        "update processing_jobs set lease_until = now() - interval '1 second'"
        " where status = 'running'"
    )


def make_due(admin: Sync) -> None:
    admin.execute("update processing_jobs set run_at = now() where status = 'queued'")


def test_claim_counts_the_attempt_and_tells_the_document(
    admin: Sync, worker_connection: Sync
) -> None:
    uploaded(admin)
    job = claimed(worker_connection)
    assert (job.attempt, job.stage, job.filename) == (1, "parse", "a.txt")
    document = document_of(admin)
    assert (document["status"], document["stage"]) == ("processing", "parse")
    assert attempts_of(admin) == [(1, None)]


def test_claim_takes_no_more_than_its_slots_and_in_order(
    admin: Sync, worker_connection: Sync
) -> None:
    made = [uploaded(admin) for _ in range(5)]
    jobs = job_queue.claim(worker_connection, Claimant("w", LEASE_SECONDS), 3)
    assert [job.document_id for job in jobs] == [one.document_id for one in made[:3]]


def test_claim_finds_nothing_that_is_due_later(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin)
    admin.execute("update processing_jobs set run_at = now() + interval '1 hour'")
    assert job_queue.claim(worker_connection, Claimant("w", LEASE_SECONDS), 5) == []


def test_many_workers_claim_each_job_once(admin: Sync, addresses: Addresses) -> None:
    for _ in range(60):
        uploaded(admin)
    together = threading.Barrier(6)

    def work(number: int) -> list[int]:
        mine: list[int] = []
        with database.connect(addresses.worker, autocommit=True) as connection:
            together.wait()
            while jobs := job_queue.claim(connection, Claimant(f"w{number}", LEASE_SECONDS), 3):
                mine += [job.id for job in jobs]
        return mine

    with ThreadPoolExecutor(6) as pool:
        taken = Counter(job for jobs in pool.map(work, range(6)) for job in jobs)
    assert len(taken) == 60
    assert set(taken.values()) == {1}


def test_one_file_of_another_owner_goes_before_ten_thousand_of_the_first(
    admin: Sync, worker_connection: Sync
) -> None:
    uploaded(admin)
    admin.execute(
        "insert into processing_jobs (owner_id, document_id, generation, stage, part, max_attempts)"
        " select owner_id, document_id, 1, 'parse', n, 5 from processing_jobs,"
        " generate_series(1, 10000) n"
    )
    in_work = [claimed(worker_connection) for _ in range(3)]
    newcomer = uploaded(admin, ANOTHER)
    assert claimed(worker_connection).document_id == newcomer.document_id
    assert all(job.document_id != newcomer.document_id for job in in_work)
    assert claimed(worker_connection).document_id != newcomer.document_id


def test_owners_take_turns(admin: Sync, worker_connection: Sync) -> None:
    for owner in (OWNER, ANOTHER):
        for _ in range(4):
            uploaded(admin, owner)
    jobs = [claimed(worker_connection) for _ in range(8)]
    owners = [job.owner_id for job in jobs]
    for turn in range(0, 8, 2):
        assert set(owners[turn : turn + 2]) == {OWNER, ANOTHER}


def owners_in_order(number: int) -> list[UUID]:
    return [UUID(int=(n << 80) + 1) for n in range(number)]


def test_turns_go_on_behind_the_owner_who_was_served_last(
    admin: Sync, worker_connection: Sync
) -> None:
    a, b, c = owners_in_order(3)
    for owner in (a, b, c):
        for _ in range(2):
            uploaded(admin, owner)
    jobs = job_queue.claim(worker_connection, W1, 3, after=a)
    assert [job.owner_id for job in jobs] == [b, c, a]
    (job,) = job_queue.claim(worker_connection, W1, 1, after=b)
    assert job.owner_id == c


def test_whoever_has_least_in_work_comes_first_whose_turn_it_ever_is(
    admin: Sync, worker_connection: Sync
) -> None:
    a, b = owners_in_order(2)
    for owner in (a, a, b):
        uploaded(admin, owner)
    assert [job.owner_id for job in job_queue.claim(worker_connection, W1, 1, after=b)] == [a]
    assert [job.owner_id for job in job_queue.claim(worker_connection, W1, 1, after=b)] == [b]


def test_no_owner_is_left_out_where_more_wait_than_one_claim_looks_at(
    admin: Sync, worker_connection: Sync
) -> None:
    waiting = owners_in_order(100)
    for owner in waiting:
        uploaded(admin, owner)
    served: list[UUID] = []
    last = job_queue.NOBODY
    while jobs := job_queue.claim(worker_connection, W1, 7, after=last):
        served += [job.owner_id for job in jobs]
        last = served[-1]
    assert served == waiting


def test_owners_who_only_wait_for_a_later_try_keep_nobody_else_waiting(
    admin: Sync, worker_connection: Sync
) -> None:
    *later, last = owners_in_order(60)
    for owner in later:
        uploaded(admin, owner)
    admin.execute("update processing_jobs set run_at = now() + interval '1 hour'")
    uploaded(admin, last)
    assert [job.owner_id for job in job_queue.claim(worker_connection, W1, 9)] == [last]


@pytest.mark.parametrize("begin", range(6))
@pytest.mark.parametrize("slots", [1, 4])
def test_nothing_due_is_missed_and_nothing_else_is_taken_wherever_the_turns_begin(
    admin: Sync, worker_connection: Sync, begin: int, slots: int
) -> None:
    """Owners with no line that is due, with one, and with several."""
    owners = owners_in_order(6)
    for number, owner in enumerate(owners[1:]):
        for priority in ("high", "normal", "low")[: number % 3 + 1]:
            uploaded(admin, owner, priority=priority)
    admin.execute(
        "update processing_jobs set run_at = now() + interval '1 hour' where owner_id = any(%s)"
        " and (priority = 0 or owner_id = %s)",
        [owners[2:], owners[3]],
    )
    due = admin.execute("select id from processing_jobs where run_at <= now()").fetchall()
    taken: list[int] = []
    last = owners[begin]
    while jobs := job_queue.claim(worker_connection, W1, slots, after=last):
        taken += [job.id for job in jobs]
        last = jobs[-1].owner_id
    assert sorted(taken) == sorted(row["id"] for row in due)


def test_retries_go_behind_fresh_work(admin: Sync, worker_connection: Sync) -> None:
    first = uploaded(admin)
    job = claimed(worker_connection)
    second = uploaded(admin)
    job_queue.fail(worker_connection, job, Failure("INTERNAL"), RetryPolicy(0, 0))
    order = [claimed(worker_connection).document_id for _ in range(2)]
    assert order == [second.document_id, first.document_id]


def test_priority_orders_an_owners_own_documents_and_not_those_of_others(
    admin: Sync, worker_connection: Sync
) -> None:
    low, normal, high = (uploaded(admin, priority=p) for p in ("low", "normal", "high"))
    other = uploaded(admin, ANOTHER, priority="low")
    order = [claimed(worker_connection).document_id for _ in range(4)]
    assert set(order[:2]) == {high.document_id, other.document_id}
    assert order[2:] == [normal.document_id, low.document_id]


def test_what_follows_keeps_the_documents_priority(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin, priority="high")
    job = claimed(worker_connection)
    (chunk,) = job_queue.enqueue_taken(worker_connection, [(job, Part(0))], "chunk", W1).values()
    (embed,) = job_queue.enqueue_taken(worker_connection, [(chunk, Part(0))], "embed", W1).values()
    assert [job.priority, chunk.priority, embed.priority] == [-10, -11, -11]


# limits of stages ------------------------------------------------------------------------


def limit(admin: Sync, stage: str, max_running: int | None, *, paused: bool = False) -> None:
    admin.execute(
        "insert into stage_limits (stage, max_running, paused) values (%s, %s, %s)",
        [stage, max_running, paused],
    )


def test_limited_stage_runs_no_more_jobs_than_allowed_whoever_claims(
    admin: Sync, addresses: Addresses
) -> None:
    limit(admin, "parse", 4)
    for owner in (OWNER, ANOTHER):
        for _ in range(20):
            uploaded(admin, owner)
    together = threading.Barrier(6)

    def work(number: int) -> list[Job]:
        with database.connect(addresses.worker) as connection:
            together.wait()
            return job_queue.claim(connection, Claimant(f"w{number}", LEASE_SECONDS), 3)

    with ThreadPoolExecutor(6) as pool:
        jobs = [job for jobs in pool.map(work, range(6)) for job in jobs]
    assert len(jobs) == 4
    with database.connect(addresses.worker, autocommit=True) as connection:
        job_queue.finish(connection, [(jobs[0], 1)])
        assert len(job_queue.claim(connection, W1, 9)) == 1


def test_paused_stage_gives_out_nothing_and_the_others_go_on(
    admin: Sync, worker_connection: Sync
) -> None:
    uploaded(admin)
    parse = claimed(worker_connection)
    job_queue.enqueue(worker_connection, parse, "embed", [Part(0)])
    uploaded(admin)
    limit(admin, "embed", None, paused=True)
    assert [job.stage for job in job_queue.claim(worker_connection, W1, 9)] == ["parse"]
    assert job_queue.count_due(worker_connection) == 0
    admin.execute("update stage_limits set paused = false")
    assert [job.stage for job in job_queue.claim(worker_connection, W1, 9)] == ["embed"]


@pytest.mark.parametrize(("max_running", "paused"), [(1, False), (None, True)])
def test_job_that_follows_into_a_limited_stage_waits_for_its_turn(
    admin: Sync, worker_connection: Sync, max_running: int | None, paused: bool
) -> None:
    uploaded(admin)
    limit(admin, "chunk", max_running, paused=paused)
    job = claimed(worker_connection)
    assert job_queue.enqueue_taken(worker_connection, [(job, Part(0))], "chunk", W1) == {}
    row = admin.execute("select status, attempt from processing_jobs where stage = 'chunk'")
    assert row.fetchone() == {"status": "queued", "attempt": 0}


def test_beat_renews_what_is_held_and_tells_what_is_lost(
    admin: Sync, worker_connection: Sync
) -> None:
    uploaded(admin)
    uploaded(admin)
    mine, lost = (claimed(worker_connection) for _ in range(2))
    admin.execute("delete from documents where id = %s", [lost.document_id])
    expire_leases(admin)
    assert job_queue.beat(worker_connection, [mine, lost], LEASE_SECONDS) == {mine.id}
    row = admin.execute("select lease_until > now() as alive from processing_jobs").fetchone()
    assert row == {"alive": True}


def test_late_worker_is_refused_at_every_write(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin)
    late = claimed(worker_connection, "late")
    expire_leases(admin)
    job_queue.reap(worker_connection, POLICY)
    make_due(admin)
    claimed(worker_connection, "other")
    before = admin.execute("select * from processing_jobs").fetchall()
    with pytest.raises(LeaseLost):
        job_queue.checkpoint(worker_connection, late, done=1, lease_seconds=LEASE_SECONDS)
    with pytest.raises(LeaseLost):
        job_queue.finish(worker_connection, [(late, 1)])
    assert job_queue.fail(worker_connection, late, Failure("INTERNAL"), POLICY) is None
    assert not job_queue.fail_for_good(worker_connection, late, Failure("INTERNAL"))
    assert not job_queue.release(worker_connection, late)
    assert job_queue.beat(worker_connection, [late], LEASE_SECONDS) == set()
    assert admin.execute("select * from processing_jobs").fetchall() == before


def test_late_result_that_nobody_overtook_is_kept(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin)
    slow = claimed(worker_connection)
    expire_leases(admin)
    job_queue.finish(worker_connection, [(slow, 1)])
    assert attempts_of(admin) == [(1, "succeeded")]


def test_reaped_job_waits_and_goes_to_another_worker(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin)
    claimed(worker_connection, "killed")
    expire_leases(admin)
    (reaped,) = job_queue.reap(worker_connection, POLICY)
    assert reaped["worker"] == "killed"
    make_due(admin)
    assert claimed(worker_connection, "other").attempt == 2
    assert attempts_of(admin) == [(1, "lease_expired"), (2, None)]


def test_job_that_kills_its_worker_every_time_fails_its_document(
    admin: Sync, worker_connection: Sync
) -> None:
    uploaded(admin, max_attempts=2)
    for _ in range(2):
        claimed(worker_connection)
        expire_leases(admin)
        job_queue.reap(worker_connection, POLICY)
        make_due(admin)
    (lost,) = job_queue.lost_for_good(worker_connection)
    with worker_connection.transaction():
        assert job_queue.fail_for_good(
            worker_connection, lost, Failure("WORKER_LOST"), expired=True
        )
    document = document_of(admin)
    assert document["status"] == "failed"
    assert attempts_of(admin) == [(1, "lease_expired"), (2, "lease_expired")]


def test_worker_has_one_job_at_a_time_that_has_lost_two_workers(
    admin: Sync, worker_connection: Sync
) -> None:
    """Else a file that kills its worker takes a harmless one with it, on each try of both."""
    suspect = [uploaded(admin).document_id for _ in range(3)]

    def claim(worker: str) -> list[Job]:
        return job_queue.claim(worker_connection, Claimant(worker, LEASE_SECONDS), 8)

    def documents_of(jobs: list[Job]) -> list[UUID]:
        return [job.document_id for job in jobs]

    for worker in ("w1", "w2"):
        assert documents_of(claim(worker)) == suspect  # a machine can die of something else
        expire_leases(admin)
        job_queue.reap(worker_connection, POLICY)
        make_due(admin)
    fresh = [uploaded(admin).document_id for _ in range(2)]

    held = claim("w3")
    assert documents_of(held) == [suspect[0], *fresh]
    assert claim("w3") == []
    assert documents_of(claim("w4")) == [suspect[1]]
    job_queue.finish(worker_connection, [(held[0], 1)])
    assert documents_of(claim("w3")) == [suspect[2]]


def test_reaper_does_not_fail_a_worker_that_beat_meanwhile(
    admin: Sync, worker_connection: Sync
) -> None:
    uploaded(admin, max_attempts=1)
    job = claimed(worker_connection)
    expire_leases(admin)
    (lost,) = job_queue.lost_for_good(worker_connection)
    job_queue.beat(worker_connection, [job], LEASE_SECONDS)
    assert not job_queue.fail_for_good(
        worker_connection, lost, Failure("WORKER_LOST"), expired=True
    )


@pytest.mark.parametrize("tries", [1, 2, 3, 4])
def test_wait_after_a_failure_is_within_the_stated_bounds(
    admin: Sync, worker_connection: Sync, tries: int
) -> None:
    uploaded(admin)
    for _ in range(tries):
        make_due(admin)
        job = claimed(worker_connection)
        state = job_queue.fail(worker_connection, job, Failure("INTERNAL"), POLICY)
        assert state == "queued"
    row = admin.execute(
        "select extract(epoch from j.run_at - a.ended_at)::float8 as wait"
        " from processing_jobs j join job_attempts a on a.job_id = j.id and a.attempt = j.attempt"
    ).fetchone()
    assert row is not None
    shortest, longest = wait_bounds(POLICY, tries)
    assert shortest - 0.5 <= row["wait"] <= longest


def test_file_that_breaks_its_parser_is_tried_twice_and_further_while_it_gets_on(
    admin: Sync, worker_connection: Sync
) -> None:
    uploaded(admin)
    states = []
    for done in (0, 5, 9, 9):
        make_due(admin)
        job = claimed(worker_connection)
        job_queue.checkpoint(worker_connection, job, done=done, lease_seconds=LEASE_SECONDS)
        slow = Failure("PARSER_TIMEOUT", "It took long.")
        states.append(job_queue.fail(worker_connection, job, slow, POLICY))

    assert states == ["queued", "queued", "queued", "failed"]
    assert [outcome for _, outcome in attempts_of(admin)] == ["failed"] * 4


def test_retry_after_of_a_service_is_obeyed(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin)
    job = claimed(worker_connection)
    busy = Failure("EMBEDDER_UNAVAILABLE", "busy", retry_after=1000)
    job_queue.fail(worker_connection, job, busy, POLICY)
    row = admin.execute(
        "select extract(epoch from run_at - now())::float8 as seconds from processing_jobs"
    ).fetchone()
    assert row is not None
    assert row["seconds"] > 990


def test_permanent_failure_ends_the_document_with_its_reason_and_its_other_jobs(
    admin: Sync, worker_connection: Sync
) -> None:
    uploaded(admin)
    job = claimed(worker_connection)
    job_queue.enqueue(worker_connection, job, "parse", [Part(1), Part(2)])
    sibling = claimed(worker_connection, "w2")
    broken = Failure("FILE_UNREADABLE", "It is damaged.")
    with worker_connection.transaction():
        assert job_queue.fail(worker_connection, job, broken, POLICY) == "failed"
    document = document_of(admin)
    assert document["status"] == "failed"
    error = document["error"]
    assert isinstance(error, dict)
    assert error["code"] == "FILE_UNREADABLE"
    assert error["stage"] == "parse"
    states = admin.execute("select status from processing_jobs order by id").fetchall()
    assert [row["status"] for row in states] == ["failed", "cancelled", "cancelled"]
    with pytest.raises(LeaseLost):
        job_queue.finish(worker_connection, [(sibling, 1)])


def test_released_job_costs_no_attempt(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin, max_attempts=1)
    for _ in range(3):
        job = claimed(worker_connection)
        assert job_queue.release(worker_connection, job)
    job = claimed(worker_connection)
    assert (job.attempt, job.released) == (4, 3)
    assert job_queue.fail(worker_connection, job, Failure("INTERNAL"), POLICY) == "failed"


def test_follow_up_is_never_doubled(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin)
    job = claimed(worker_connection)
    for _ in range(2):
        job_queue.enqueue(worker_connection, job, "chunk", [Part(0)])
    claimant = Claimant("w1", LEASE_SECONDS)
    assert job_queue.enqueue_taken(worker_connection, [(job, Part(0))], "chunk", claimant) == {}
    row = admin.execute("select count(*) as n from processing_jobs").fetchone()
    assert row == {"n": 2}


def test_that_nothing_was_found_is_told_however_many_warnings_stand_before_it(
    admin: Sync, worker_connection: Sync
) -> None:
    uploaded(admin)
    job = claimed(worker_connection)
    pages = [Notice("PAGE_WITHOUT_TEXT", "It has none.", number) for number in range(1, 80)]
    nothing = Notice("NO_TEXT", "Nothing was found.")
    for notices in (pages[:30], pages[20:], [nothing], [nothing]):
        documents.advance(worker_connection, [Growth(job, notices=notices)])

    warnings = document_of(admin)["warnings"]

    assert warnings == [notice.as_json() for notice in [nothing, *pages[:49]]]


def test_output_end_and_next_job_are_one_commit(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin)
    job = claimed(worker_connection)
    claimant = Claimant("w1", LEASE_SECONDS)

    def finish_and_break() -> None:
        with worker_connection.transaction():
            job_queue.finish(worker_connection, [(job, 1)])
            documents.advance(
                worker_connection, [Growth(job, pages=1, pages_total=1, stage="chunk")]
            )
            job_queue.enqueue_taken(worker_connection, [(job, Part(0))], "chunk", claimant)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        finish_and_break()
    assert attempts_of(admin) == [(1, None)]
    assert document_of(admin)["pages_done"] == 0


def test_two_parts_that_finish_together_are_followed_exactly_once(
    admin: Sync, addresses: Addresses, worker_connection: Sync
) -> None:
    for _ in range(10):
        uploaded(admin)
        first = claimed(worker_connection)
        job_queue.enqueue(worker_connection, first, "parse", [Part(1)])
        second = claimed(worker_connection)
        together = threading.Barrier(2)

        def finish(job: Job, together: threading.Barrier = together) -> bool:
            with database.connect(addresses.worker) as connection:
                together.wait()
                job_queue.finish(connection, [(job, 1)])
                documents.advance(connection, [Growth(job, pages=1)])
                return not job_queue.unfinished_parts(connection, [job], "parse")

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(finish, [first, second])) == [False, True]


def test_ended_attempt_is_history(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin)
    job_queue.finish(worker_connection, [(claimed(worker_connection), 1)])
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        admin.execute("update job_attempts set outcome = 'failed', error = '{}'")


FALSE_ROWS = {
    "failed without a reason": "update documents set status = 'failed'",
    "completed without an end": "update documents set status = 'completed', serving = 1",
    "processing without a stage": "update documents set status = 'processing', started_at = now()",
    "more done than there is": "update documents set pages_done = 2, pages_total = 1",
    "running without a lease": "update processing_jobs set status = 'running', worker = 'w'",
    "finished without an end": "update processing_jobs set status = 'cancelled'",
    "a job failed without a reason": (
        "update processing_jobs set status = 'failed', finished_at = now()"
    ),
    "more released than tried": "update processing_jobs set released = 1",
    "a file complete without a hash": "update files set sha256 = null",
    "a part above 1 MiB": "update file_parts set data = repeat('x', 1048577)::bytea",
    "another owner's part": f"update file_parts set owner_id = '{uuid4()}'",
    "a job in a line that there is not": "update processing_jobs set priority = 5",
    "another owner's job": f"update processing_jobs set owner_id = '{uuid4()}'",
}


@pytest.mark.parametrize("statement", FALSE_ROWS.values(), ids=FALSE_ROWS.keys())
def test_database_refuses_false_rows(admin: Sync, statement: str) -> None:
    uploaded(admin)
    with pytest.raises(psycopg.errors.IntegrityError):
        admin.execute(statement.encode())
