"""Workers that are killed, frozen or told to stop, in the middle of each stage."""

import json
import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from docmill.database import Sync
from made_files import pdf_that_calls_itself
from running import Docmill, Started, until
from witness import long_pdf, long_text, outcomes, outputs, running, wide_pdf

Workers = Callable[..., Started]
CONTENT = {"parse": long_pdf, "chunk": long_text, "embed": long_pdf}


@pytest.mark.parametrize("stage", ["parse", "chunk", "embed"])
def test_worker_killed_in_a_stage_is_replaced_and_nothing_is_lost_or_doubled(
    admin: Sync, api: Docmill, start_worker: Workers, stage: str
) -> None:
    content = CONTENT[stage]()
    document_id = api.upload("a.pdf" if stage != "chunk" else "a.txt", content)
    first = start_worker()
    until(lambda: frozen_in(admin, first, stage), f"it stands still in the middle of {stage}")
    first.kill()
    assert api.status(document_id)["stage"] == stage
    second = start_worker()
    status = api.completed(document_id)
    assert status["progress"]["percent"] == 100
    assert "lease_expired" in outcomes(admin, stage)

    undisturbed = api.upload("b.pdf", content, external_id="undisturbed")
    api.completed(undisturbed)
    assert outputs(admin, document_id) == outputs(admin, undisturbed)
    assert second.terminate() == 0


def test_death_of_a_worker_is_noticed_long_before_its_lease_runs_out(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    long_lease = {"DOCMILL_LEASE_SECONDS": "10"}
    first = start_worker(**long_lease)
    until(lambda: beat_twice(admin), "its session is known")
    document_id = api.upload("a.pdf", wide_pdf())
    until(lambda: frozen_in(admin, first, "parse"), "it stands still in the middle of parse")
    admin.execute("update processing_jobs set lease_until = now() + interval '1 day'"
                  " where status = 'running'")  # fmt: skip
    first.kill()
    second = start_worker(**long_lease)
    second.says("worker .* died")
    api.completed(document_id)
    assert outcomes(admin, "parse").count("lease_expired") == 1


def test_worker_whose_sessions_are_cut_all_the_time_is_not_taken_for_dead(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    document_id = api.upload("a.pdf", long_pdf(1200))
    # A beat every four seconds; who is silent for six and has no session is taken for dead.
    long_lease = {"DOCMILL_LEASE_SECONDS": "20"}
    worker, witness = start_worker(**long_lease), start_worker(**long_lease)
    for living in (worker, witness):
        living.says("works on")  # a worker that can't begin ends, as it should
    while not api.status(document_id)["done"]:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name ="
            " 'docmill' and usename = 'docmill_worker'"
            # A machine with much else to do takes longer than a cut leaves it to come back.
            " and (select min(seen_at) from workers) > now() - interval '4.5 seconds'"
        )
        time.sleep(0.3)
    api.completed(document_id)
    assert "lease_expired" not in outcomes(admin, "parse") + outcomes(admin, "embed")
    for living in (worker, witness):
        assert not any("died" in line for line in living.said)
        assert living.terminate() == 0, "\n".join(living.said)


def beat_twice(admin: Sync) -> bool:
    row = admin.execute("select 1 from workers where is_direct").fetchone()
    return row is not None


def test_late_worker_is_refused_after_another_one_finished(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    content = long_pdf(2500)
    document_id = api.upload("a.pdf", content)
    late = start_worker()
    until(lambda: frozen_in(admin, late, "parse"), "it stands still in the middle of parse")
    other = start_worker()
    api.completed(document_id)
    before = outputs(admin, document_id)
    version = api.status(document_id)["version"]
    os.kill(late.process.pid, signal.SIGCONT)
    late.says("lost job")
    assert late.terminate() == 0
    assert outputs(admin, document_id) == before
    assert api.status(document_id)["version"] == version
    undisturbed = api.upload("b.pdf", content, external_id="undisturbed")
    api.completed(undisturbed)
    assert outputs(admin, undisturbed) == before
    assert other.terminate() == 0


def test_worker_told_to_stop_gives_back_what_it_holds_and_counts_no_attempt(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    document_id = api.upload("a.pdf", wide_pdf())
    first = start_worker(DOCMILL_DRAIN_SECONDS="0")
    until(lambda: frozen_in(admin, first, "parse"), "it stands still early in a range")
    first.process.send_signal(signal.SIGTERM)
    first.process.send_signal(signal.SIGCONT)
    assert first.wait() == 0
    assert outcomes(admin, "parse").count("released") == 1
    status = api.status(document_id)
    assert (status["status"], status["attempt"]) == ("processing", 0)
    assert status["next_attempt_at"] is not None
    second = start_worker()
    assert api.completed(document_id)["progress"]["parse"]["done"] == 800
    assert second.terminate() == 0


def test_worker_told_to_stop_finishes_what_is_nearly_done(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    document_id = api.upload("a.pdf", long_pdf(90))
    worker = start_worker(DOCMILL_DRAIN_SECONDS="60")
    api.begun(document_id)
    assert worker.terminate() == 0
    assert set(outcomes(admin, "parse")) <= {"succeeded", "released"}
    assert api.status(document_id)["attempt"] <= 1


def test_ticks_alone_finish_a_document_that_is_longer_than_their_budget(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    document_id = api.upload("a.pdf", long_pdf(4000))
    ticks = 0
    while not api.status(document_id)["done"]:
        tick = start_worker("--once", "--max-seconds", "0.5")
        assert tick.wait() == 0, tick.said
        report = json.loads(tick.said[-1])
        assert set(report) == {"claimed", "finished", "released", "reaped", "remaining"}
        ticks += 1
    assert ticks > 1
    assert api.completed(document_id)["progress"]["parse"]["done"] == 4000
    assert "failed" not in outcomes(admin, "parse")


def test_tick_with_nothing_due_ends_at_once(api: Docmill, start_worker: Workers) -> None:
    tick = start_worker("--once", "--max-seconds", "600")
    assert tick.wait() == 0
    assert json.loads(tick.said[-1])["claimed"] == 0
    assert api.http.get("/documents").json()["documents"] == []


def test_file_that_kills_its_parser_every_time_fails_with_a_reason_and_harms_nobody(
    api: Docmill, start_worker: Workers
) -> None:
    bad = api.upload("bad.pdf", pdf_that_calls_itself())
    good = [api.upload(f"{n}.txt", f"good {n}".encode()) for n in range(5)]
    start_worker(DOCMILL_PARSE_MEMORY_BYTES="256MiB")
    for document_id in good:
        api.completed(document_id)
    status = api.ended(bad)
    assert (status["status"], status["error"]["code"]) == ("failed", "PARSER_OUT_OF_MEMORY")
    assert status["error"]["attempt"] == 2 < status["max_attempts"]
    jobs = api.http.get(f"/documents/{bad}/jobs").json()["jobs"]
    assert [a["outcome"] for a in jobs[0]["attempts"]] == ["failed"] * 2


def frozen_early(admin: Sync, api: Docmill, start_worker: Workers) -> tuple[str, Started]:
    """A document, and the worker that stands still early in a range of it."""
    document_id = api.upload("a.pdf", wide_pdf())
    worker = start_worker()
    until(lambda: frozen_in(admin, worker, "parse"), "it stands still early in a range")
    return document_id, worker


def test_parser_killed_by_a_signal_loses_no_page_and_the_worker_goes_on(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    document_id, worker = frozen_early(admin, api, start_worker)
    killed = parsers_of(worker)
    assert killed
    for child in killed:
        os.kill(child, signal.SIGSEGV)
    os.kill(worker.process.pid, signal.SIGCONT)
    status = api.completed(document_id)
    assert status["progress"]["parse"]["done"] == 800
    assert status["warnings"] == []
    assert not set(killed) & set(parsers_of(worker))
    assert worker.process.poll() is None


def test_zygote_killed_under_its_parsers_loses_no_page_and_is_replaced(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    document_id, worker = frozen_early(admin, api, start_worker)
    killed = children_of(worker.process.pid)
    orphans = [psutil.Process(pid) for pid in parsers_of(worker)]
    for zygote in killed:
        os.kill(zygote, signal.SIGKILL)
    os.kill(worker.process.pid, signal.SIGCONT)
    status = api.completed(document_id)
    assert status["progress"]["parse"]["done"] == 800
    assert status["warnings"] == []
    assert orphans
    assert psutil.wait_procs(orphans, timeout=30)[1] == []
    assert not set(killed) & set(children_of(worker.process.pid))
    assert worker.process.poll() is None


def frozen_in(admin: Sync, worker: Started, stage: str) -> bool:
    """Freeze the worker; if that did not catch it in the middle of the stage, let it go on."""
    os.kill(worker.process.pid, signal.SIGSTOP)
    caught = running(admin, stage)
    if not caught:
        os.kill(worker.process.pid, signal.SIGCONT)
    return caught


def parsers_of(worker: Started) -> list[int]:
    return [pid for zygote in children_of(worker.process.pid) for pid in children_of(zygote)]


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def test_many_workers_share_one_long_document_and_its_ranges_run_side_by_side(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    document_id = api.upload("a.pdf", long_pdf(1500))
    for _ in range(3):
        start_worker()
    api.completed(document_id)
    row = admin.execute("select count(distinct worker) as workers from job_attempts").fetchone()
    assert row is not None
    assert row["workers"] > 1
    assert outcomes(admin, "parse") == ["succeeded"] * 15
    assert outcomes(admin, "chunk") == ["succeeded"]


def test_cancel_stops_a_running_worker_within_a_beat(
    admin: Sync, api: Docmill, start_worker: Workers
) -> None:
    document_id = api.upload("a.pdf", long_pdf(4000))
    worker = start_worker()
    until(lambda: running(admin, "parse"), "the worker is in the middle of parse")
    assert api.http.post(f"/documents/{document_id}/cancel").status_code == 202
    small = api.upload("b.txt", b"the worker is free again")
    api.completed(small)
    assert api.status(document_id)["status"] == "cancelled"
    assert set(outcomes(admin, "parse")) <= {"succeeded", "cancelled", None}
    assert worker.process.poll() is None
