"""Small documents go in groups: they share commits, and nothing else."""

import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from docmill import attempt, embed, job_queue
from docmill.attempt import Stage
from docmill.carrying import GROUP, dealt
from docmill.config import read_settings
from docmill.database import Addresses, Sync
from docmill.job_queue import WEIGHED_BYTES, WEIGHED_BYTES_IN_CALLS, Claimant
from docmill.model import Job
from docmill.retry import RetryPolicy
from docmill.worker import Tally, Worker
from docmill.workplace import Ends, Workplace
from made_rows import OWNER, Made, uploaded

W1 = Claimant("w1", 60.0)
SETTINGS = read_settings({"DOCMILL_SLOTS": "1", "DOCMILL_BACKOFF_SECONDS": "0"})


def claim(connection: Sync, slots: int) -> list[Job]:
    return job_queue.claim(connection, W1, slots, group=GROUP)


def enlarge(admin: Sync, made: Made, size: int = GROUP * WEIGHED_BYTES) -> None:
    admin.execute("update files set size = %s where id = %s", [size, made.file_id])


def weights(jobs: Sequence[Job]) -> list[int]:
    return [job.weight for job in jobs]


def tick(addresses: Addresses) -> Tally:
    """A worker with one slot, until nothing is due."""
    return Worker(SETTINGS, addresses.worker, embed.create_embedder(SETTINGS)).run_what_is_due(600)


def statuses(admin: Sync) -> dict[Any, str]:
    rows = admin.execute("select id, status from documents").fetchall()
    return {row["id"]: row["status"] for row in rows}


# claims ----------------------------------------------------------------------------------


def test_one_slot_takes_a_group_of_small_ones(admin: Sync, worker_connection: Sync) -> None:
    for _ in range(GROUP + 5):
        uploaded(admin)
    assert weights(claim(worker_connection, 1)) == [1] * GROUP
    assert len(claim(worker_connection, 1)) == 5


def test_large_one_fills_a_slot(admin: Sync, worker_connection: Sync) -> None:
    large = [uploaded(admin) for _ in range(3)]
    for made in large:
        enlarge(admin, made)
    assert weights(claim(worker_connection, 2)) == [GROUP] * 2


def test_a_group_has_fewer_the_larger_they_are(admin: Sync, worker_connection: Sync) -> None:
    for _ in range(5):
        enlarge(admin, uploaded(admin), GROUP // 4 * WEIGHED_BYTES - 1)
    enlarge(admin, uploaded(admin), GROUP * WEIGHED_BYTES - 1)
    assert weights(claim(worker_connection, 1)) == [GROUP // 4] * 4
    assert weights(claim(worker_connection, 1)) == [GROUP // 4, GROUP]


def test_large_one_takes_the_place_of_a_group(admin: Sync, worker_connection: Sync) -> None:
    first = uploaded(admin)
    enlarge(admin, first)
    for _ in range(2 * GROUP):
        uploaded(admin)
    jobs = claim(worker_connection, 2)
    assert weights(jobs) == [GROUP] + [1] * GROUP


def test_where_a_service_embeds_a_group_is_what_a_call_takes(
    admin: Sync, worker_connection: Sync
) -> None:
    for _ in range(3):
        enlarge(admin, uploaded(admin), GROUP // 2 * WEIGHED_BYTES_IN_CALLS - 1)
    jobs = job_queue.claim(
        worker_connection, W1, 1, group=GROUP, weighed_bytes=WEIGHED_BYTES_IN_CALLS
    )
    assert weights(jobs) == [GROUP // 2] * 2


def test_what_was_tried_is_tried_again_alone(admin: Sync, worker_connection: Sync) -> None:
    """A file that kills its worker may take others with it once, and not a second time."""
    for _ in range(3):
        uploaded(admin)
    jobs = claim(worker_connection, 1)
    assert len(jobs) == 3
    for job in jobs[:2]:
        job_queue.release(worker_connection, job)
    admin.execute(
        "update processing_jobs set lease_until = now() - interval '1 second'"
        " where status = 'running'"
    )
    job_queue.reap(worker_connection, RetryPolicy(0, 0))
    given_back = claim(worker_connection, 1)
    assert weights(given_back) == [1, 1, GROUP]


def test_limited_stage_limits_a_group(admin: Sync, worker_connection: Sync) -> None:
    for _ in range(10):
        uploaded(admin)
    admin.execute("insert into stage_limits (stage, max_running) values ('parse', 4)")
    assert len(claim(worker_connection, 1)) == 4
    assert claim(worker_connection, 1) == []


def test_small_ones_are_dealt_out_to_the_slots_that_are_free(
    admin: Sync, worker_connection: Sync
) -> None:
    enlarge(admin, uploaded(admin))
    for _ in range(GROUP + 2):
        uploaded(admin)
    jobs = claim(worker_connection, 3)
    assert [len(group) for group in dealt(jobs, 3)] == [1, GROUP // 2 + 1, GROUP // 2 + 1]
    assert [len(group) for group in dealt(jobs[:3], 3)] == [1, 1, 1]
    assert [len(group) for group in dealt(jobs, 1)] == [1, GROUP // 2 + 1, GROUP // 2 + 1]
    assert dealt([], 3) == []


def test_large_and_small_ones_are_dealt_out_by_their_weight(
    admin: Sync, worker_connection: Sync
) -> None:
    enlarge(admin, uploaded(admin), 10 * WEIGHED_BYTES - 1)
    for _ in range(10):
        uploaded(admin)
    jobs = claim(worker_connection, 2)
    assert [weights(group) for group in dealt(jobs, 2)] == [[10], [1] * 10]


# a burst ---------------------------------------------------------------------------------


def others(admin: Sync, *slots: int, seen: str = "now()", draining: bool = False) -> None:
    """More workers on the list, with so many slots each."""
    for number, count in enumerate(slots):
        admin.execute(
            "insert into workers (id, slots, draining, seen_at)"
            f" values (%s, %s, %s, {seen})".encode(),
            [f"other {number}", count, draining],
        )


def enough_for_a_call(admin: Sync, count: int) -> None:
    """Large texts: where a service embeds, each fills a call."""
    for _ in range(count):
        enlarge(admin, uploaded(admin), 56 * WEIGHED_BYTES_IN_CALLS)


def claim_in_calls(connection: Sync, worker: str, slots: int = 1) -> list[Job]:
    return job_queue.claim(
        connection,
        Claimant(worker, 60.0),
        slots,
        group=GROUP,
        weighed_bytes=WEIGHED_BYTES_IN_CALLS,
    )


def test_workers_share_a_burst_evenly(admin: Sync, worker_connection: Sync) -> None:
    """Two would fit into the slot of each, and half of the workers would find nothing."""
    others(admin, *[1] * 8)
    enough_for_a_call(admin, 8)
    taken = [claim_in_calls(worker_connection, f"other {number}") for number in range(8)]
    assert [len(jobs) for jobs in taken] == [1] * 8


def test_the_last_texts_go_to_several_workers(admin: Sync, worker_connection: Sync) -> None:
    others(admin, 1, 1)
    enough_for_a_call(admin, 4)
    counts = [len(claim_in_calls(worker_connection, f"other {n % 2}")) for n in range(3)]
    assert counts == [2, 1, 1]


def test_small_ones_are_shared_down_to_a_quarter_of_a_group(
    admin: Sync, worker_connection: Sync
) -> None:
    others(admin, *[1] * 7)
    for _ in range(GROUP // 2):
        uploaded(admin)
    assert len(claim(worker_connection, 1)) == GROUP // 4
    assert len(claim(worker_connection, 1)) == GROUP // 4
    assert claim(worker_connection, 1) == []


def test_who_has_more_slots_free_takes_more_of_a_burst(
    admin: Sync, worker_connection: Sync
) -> None:
    others(admin, 2)
    for _ in range(GROUP):
        uploaded(admin)
    assert len(claim(worker_connection, 6)) == GROUP * 6 // 8


def test_a_long_queue_is_taken_by_whole_groups(admin: Sync, worker_connection: Sync) -> None:
    others(admin, *[1] * 50)
    for _ in range(4 * GROUP):
        uploaded(admin)
    assert len(claim(worker_connection, 1)) == GROUP


@pytest.mark.parametrize(
    ("seen", "draining"), [("now() - interval '2 minutes'", False), ("now()", True)]
)
def test_nothing_is_left_for_workers_that_do_not_claim(
    admin: Sync, worker_connection: Sync, seen: str, *, draining: bool
) -> None:
    others(admin, *[1] * 8, seen=seen, draining=draining)
    for _ in range(GROUP):
        uploaded(admin)
    assert len(claim(worker_connection, 1)) == GROUP


# carrying --------------------------------------------------------------------------------


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """How many jobs of each stage were ended by each commit, in order. No group takes too long."""
    monkeypatch.setattr("docmill.carrying.GROUP_SECONDS", 3600.0)
    seen: dict[str, list[int]] = {"parse": [], "chunk": [], "embed": []}
    for stage, halves in attempt.STAGES.items():

        def finish(
            place: Workplace, outputs: Sequence[Any], stage: str = stage, halves: Stage = halves
        ) -> Ends:
            ends = halves.finish(place, outputs)
            seen[stage].append(len(ends))
            return ends

        monkeypatch.setitem(attempt.STAGES, stage, Stage(halves.prepare, finish))
    return seen


def before_finish(monkeypatch: pytest.MonkeyPatch, stage: str, act: Callable[[], None]) -> None:
    """Do something when the work of a group is done and its commit has not begun, once."""
    halves = attempt.STAGES[stage]
    acts = [act]

    def finish(place: Workplace, outputs: Sequence[Any]) -> Ends:
        if acts:
            acts.pop()()
        return halves.finish(place, outputs)

    monkeypatch.setitem(attempt.STAGES, stage, Stage(halves.prepare, finish))


def test_group_has_one_commit_per_stage(
    admin: Sync, addresses: Addresses, commits: dict[str, list[int]]
) -> None:
    for _ in range(GROUP):
        uploaded(admin)
    tally = tick(addresses)
    assert commits == {"parse": [GROUP], "chunk": [GROUP], "embed": [GROUP]}
    assert (tally.claimed, tally.finished, tally.remaining) == (GROUP, 3 * GROUP, 0)
    assert set(statuses(admin).values()) == {"completed"}
    found = admin.execute(
        "select count(distinct d.id) as documents, count(*) as passages"
        " from documents d join pages using (owner_id)"
        " join chunks c on c.document_id = d.id and pages.document_id = d.id"
        " join embeddings e on e.document_id = d.id where c.text = 'hello'"
    ).fetchone()
    assert found == {"documents": GROUP, "passages": GROUP}
    attempts = admin.execute(
        "select count(*) as n from job_attempts where outcome = 'succeeded' and attempt = 1"
    ).fetchone()
    assert attempts == {"n": 3 * GROUP}


@pytest.mark.parametrize("stage", ["parse", "chunk", "embed"])
def test_one_that_is_cancelled_leaves_its_group(
    admin: Sync, addresses: Addresses, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    gone, *others = [uploaded(admin).document_id for _ in range(6)]

    def cancel() -> None:
        admin.execute(
            "update job_attempts set ended_at = now(), outcome = 'cancelled' where ended_at is null"
            " and job_id in (select id from processing_jobs where document_id = %s)",
            [gone],
        )
        admin.execute(
            "update processing_jobs set status = 'cancelled', finished_at = now(),"
            " lease_token = null, lease_until = null"
            " where document_id = %s and status = 'running'",
            [gone],
        )
        admin.execute(
            "update documents set status = 'cancelled', stage = null where id = %s", [gone]
        )

    before_finish(monkeypatch, stage, cancel)
    tick(addresses)
    assert statuses(admin) == {gone: "cancelled", **dict.fromkeys(others, "completed")}


@pytest.mark.parametrize("stage", ["parse", "chunk", "embed"])
def test_one_that_is_deleted_leaves_its_group(
    admin: Sync, addresses: Addresses, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    gone, *others = [uploaded(admin).document_id for _ in range(6)]

    def delete() -> None:
        admin.execute("delete from documents where id = %s", [gone])

    before_finish(monkeypatch, stage, delete)
    tick(addresses)
    assert statuses(admin) == dict.fromkeys(others, "completed")


def test_one_that_cannot_be_kept_fails_alone(
    admin: Sync, addresses: Addresses, commits: dict[str, list[int]]
) -> None:
    """The commit of all of them fails, so each has its own; the reason stays with its document."""
    bad, *others = [uploaded(admin).document_id for _ in range(6)]
    admin.execute(
        f"alter table pages add constraint not_this_one check (document_id <> '{bad}')".encode()
    )
    try:
        tick(addresses)
        row = admin.execute(
            "select status, error ->> 'code' as code from documents where id = %s", [bad]
        ).fetchone()
    finally:
        admin.execute("alter table pages drop constraint not_this_one")
    assert row == {"status": "failed", "code": "INTERNAL"}
    assert statuses(admin) == {bad: "failed", **dict.fromkeys(others, "completed")}
    assert commits["parse"] == [1] * 5


def test_group_that_takes_long_is_parted(
    admin: Sync,
    addresses: Addresses,
    commits: dict[str, list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is done by then is committed, and goes on to its end before the others begin."""
    monkeypatch.setattr("docmill.carrying.GROUP_SECONDS", 0.0)
    for _ in range(3):
        uploaded(admin)
    order = []
    for stage, halves in attempt.STAGES.items():

        def prepare(*args: Any, stage: str = stage, halves: Stage = halves) -> Any:
            order.append(stage)
            return halves.prepare(*args)

        monkeypatch.setitem(attempt.STAGES, stage, Stage(prepare, halves.finish))
    tick(addresses)
    assert commits == {"parse": [1] * 3, "chunk": [1] * 3, "embed": [1] * 3}
    assert order == ["parse", "chunk", "embed"] * 3


def test_worker_that_drains_gives_back_what_of_a_group_has_not_begun(
    admin: Sync, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [uploaded(admin).document_id for _ in range(5)]
    worker = Worker(SETTINGS, addresses.worker, embed.create_embedder(SETTINGS))
    halves = attempt.STAGES["parse"]
    begun = threading.Event()

    def prepare(*args: Any) -> Any:
        if not begun.is_set():
            begun.set()
            worker.stop()
        return halves.prepare(*args)

    monkeypatch.setitem(attempt.STAGES, "parse", Stage(prepare, halves.finish))
    worker.run_until_stopped()
    assert begun.is_set()
    states = list(statuses(admin).values())
    assert len(states) == len(made)
    trails = admin.execute(
        "select status, attempt - released as tries from processing_jobs where stage = 'parse'"
    ).fetchall()
    waiting = [row for row in trails if row["status"] == "queued"]
    assert len(waiting) == 4
    assert {row["tries"] for row in waiting} == {0}


def test_two_documents_of_the_same_bytes_go_in_one_group(
    admin: Sync, addresses: Addresses, commits: dict[str, list[int]]
) -> None:
    first, second = uploaded(admin), uploaded(admin)
    admin.execute(
        "with other as (insert into collections (owner_id, name) values (%s, 'other') returning id)"
        " update documents set collection_id = other.id, file_id = %s"
        " from other where documents.id = %s",
        [OWNER, first.file_id, second.document_id],
    )
    tick(addresses)
    assert commits["parse"] == [2]
    assert set(statuses(admin).values()) == {"completed"}


def test_owners_take_turns_within_a_group(admin: Sync, worker_connection: Sync) -> None:
    for _ in range(2 * GROUP):
        uploaded(admin)
    other = uploaded(admin, UUID(int=7))
    jobs = claim(worker_connection, 1)
    assert len(jobs) > GROUP // 2
    assert other.document_id in {job.document_id for job in jobs}
