"""Workers struck while they deliver: everything is told at least once, always under one id."""

import contextlib
import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest

from docmill.failpoint import ACTIONS, MOMENTS, WorkerCommit
from faults import WEBHOOK_COMMITS, Fault, Scene, new_scene
from running import Started, until
from webhook_receiver import Receiver, hangs, well


@contextlib.contextmanager
def started(scene: Scene, fault: Fault | None = None) -> Iterator[Started]:
    worker = scene.start_worker(fault)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGCONT)
            worker.kill()


def deliveries(scene: Scene, document: str) -> list[tuple[str, int, int, int]]:
    """State, attempts, those that cost nothing, and those of which it is known how they went."""
    rows = scene.admin.execute(
        "select d.status, d.attempt, d.released, (select count(*) from webhook_attempts a"
        " where a.delivery_id = d.id and a.ended_at is not null) as ended"
        " from webhook_deliveries d where d.document_id = %s",
        [document],
    )
    return [(row["status"], row["attempt"], row["released"], row["ended"]) for row in rows]


def is_told(scene: Scene, document: str) -> bool:
    return [status for status, *_ in deliveries(scene, document)] == ["delivered"]


def leases_run_out(scene: Scene) -> None:
    scene.admin.execute(
        "update webhook_deliveries set lease_until = now() where status = 'sending'"
    )


def suffered(scene: Scene, receiver: Receiver, fault: Fault) -> None:
    document = uploaded(scene)
    with started(scene, fault) as faulty:
        until(lambda: any("failpoint" in line for line in faulty.said), f"{fault} is reached")
        if fault.action == "kill":
            assert faulty.wait() == -signal.SIGKILL
        leases_run_out(scene)
        with scene.healthy_worker():
            until(lambda: is_told(scene, document), f"it is told of after {fault}")
            before = deliveries(scene, document)
            if fault.action == "freeze":
                faulty.go_on()
            if fault.action != "kill":
                with contextlib.suppress(ProcessLookupError):
                    faulty.process.send_signal(signal.SIGTERM)
                faulty.wait()
        assert deliveries(scene, document) == before, f"the late worker changed it after {fault}"
    ((_, attempts, _, ended),) = before
    assert attempts == ended, f"after {fault}"
    told = receiver.told_of(document)
    assert len({received.id for received in told}) == 1, f"after {fault}"
    # Sent and not noted is sent again; noted, or never sent, is sent once.
    again = fault.commit == "note_delivery" and fault.moment == "before"
    if again and fault.action == "freeze":  # its thread may get on before the process stands still
        assert len(told) in {1, 2}
    else:
        assert len(told) == (2 if again else 1), f"after {fault}"


def uploaded(scene: Scene) -> str:
    scene.documents.clear()
    scene.accept({"a.txt": uuid4().hex.encode()})
    return str(scene.documents["a.txt"])


@pytest.mark.parametrize("commit", sorted(WEBHOOK_COMMITS))
def test_worker_struck_while_it_delivers_tells_all_at_least_once_under_one_id(
    admin_url: str, commit: WorkerCommit
) -> None:
    with new_scene(admin_url) as scene, Receiver() as receiver:
        scene.add_webhook(receiver.url)
        for moment in MOMENTS:
            for action in ACTIONS:
                suffered(scene, receiver, Fault(commit, moment, action))


def test_what_a_worker_that_is_told_to_stop_was_sending_another_one_sends_at_no_cost(
    admin_url: str,
) -> None:
    with new_scene(admin_url) as scene, Receiver() as receiver:
        receiver.mood = hangs
        scene.add_webhook(receiver.url)
        document = uploaded(scene)
        with started(scene) as worker:
            first = receiver.hears_of(document)
            assert worker.terminate() == 0
        assert deliveries(scene, document) == [("waiting", 1, 1, 1)]
        receiver.mood = well
        with scene.healthy_worker():
            assert receiver.hears_of(document, 2).id == first.id
            until(lambda: deliveries(scene, document) == [("delivered", 2, 1, 2)], "it is noted")


def test_what_a_killed_worker_was_sending_is_sent_long_before_its_lease_runs_out(
    admin_url: str,
) -> None:
    with new_scene(admin_url) as scene, Receiver() as receiver:
        receiver.mood = hangs
        scene.add_webhook(receiver.url)
        document = uploaded(scene)
        with started(scene) as worker:
            receiver.hears_of(document)
            is_known = "select count(*) = 1 as is_so from workers where is_direct"
            until(lambda: bool(scene.one(is_known)["is_so"]), "its session is known")
            worker.kill()
        receiver.mood = well
        scene.admin.execute("update webhook_deliveries set lease_until = now() + interval '1 day'")
        with scene.healthy_worker():
            receiver.hears_of(document, 2)
            until(lambda: deliveries(scene, document) == [("delivered", 2, 0, 2)], "it is noted")


def test_a_tick_delivers_what_is_due_before_it_ends(admin_url: str) -> None:
    with new_scene(admin_url) as scene, Receiver() as receiver:
        scene.add_webhook(receiver.url)
        document = uploaded(scene)
        env = {**scene.settings, "DOCMILL_WORKER_DATABASE_URL": scene.worker_url}
        tick = Started("worker", "--once", "--max-seconds", "60", env=env)
        assert tick.wait() == 0, tick.said
        assert deliveries(scene, document) == [("delivered", 1, 0, 1)]
        assert len(receiver.received) == 1
