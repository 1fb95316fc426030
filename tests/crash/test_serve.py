"""The whole docmill killed and started again."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from docmill.database import Addresses
from docmill.serve import BEHIND_REQUESTS
from running import SERVES, Docmill, Started, until
from witness import long_pdf

MIB = 1 << 20


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="docmill-crash-"))
    yield folder
    shutil.rmtree(folder)


def test_killed_docmill_goes_on_after_its_restart_and_leaves_no_process(data_dir: Path) -> None:
    first = Docmill(data_dir, env={"DOCMILL_LEASE_SECONDS": "2"})
    document_id = first.upload("a.pdf", long_pdf(800))
    until(lambda: first.status(document_id)["progress"]["percent"] > 2, "it is being worked on")
    descendants = psutil.Process(first.started.process.pid).children(recursive=True)
    first.started.kill()
    first.http.close()
    psutil.wait_procs(descendants, timeout=60)
    assert [process for process in descendants if process.is_running()] == []

    again = Docmill(data_dir, env={"DOCMILL_LEASE_SECONDS": "2"})
    assert again.completed(document_id)["progress"]["parse"]["done"] == 800
    assert again.stop() == 0


def test_died_worker_process_is_replaced_and_it_is_said(data_dir: Path) -> None:
    docmill = Docmill(data_dir, "--workers", "1", env={"DOCMILL_LEASE_SECONDS": "2"})
    (worker,) = until(lambda: docmill.workers() or None, "it has its worker")
    os.kill(worker.pid, signal.SIGKILL)
    docmill.started.says(r"worker process \d+ died \(signal 9, SIGKILL\) and is replaced")
    docmill.completed(docmill.upload("a.txt", b"somebody works again"))
    assert docmill.stop() == 0


def test_workers_share_most_of_their_memory_with_what_they_are_forked_from(data_dir: Path) -> None:
    docmill = Docmill(data_dir, "--workers", "2")
    workers = both_of(docmill)
    docmill.completed(docmill.upload("a.txt", b"both are at work, or wait for it"))
    zygote = forked_from(workers)
    assert zygote.num_threads() == 1, "a fork takes only one along"
    for worker in workers:
        assert worker.memory_full_info().uss < 20 * MIB  # started by itself, it has more than 45
    assert docmill.stop() == 0
    assert "Traceback" not in "\n".join(docmill.started.said)


def test_workers_drain_and_are_replaced_when_what_they_are_forked_from_dies(data_dir: Path) -> None:
    docmill = Docmill(data_dir, "--workers", "2")
    workers = both_of(docmill)
    document_id = docmill.upload("a.pdf", long_pdf(1500))
    docmill.begun(document_id)

    forked_from(workers).kill()

    docmill.started.says(r"the process that forks workers died \(status -9\) and is replaced")
    for _ in workers:
        docmill.started.says(r"worker process \d+ drains and is replaced")
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert docmill.completed(document_id)["progress"]["parse"]["done"] == 1500
    jobs = docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    outcomes = {attempt["outcome"] for job in jobs for attempt in job["attempts"]}
    assert outcomes <= {"succeeded", "released"}, "what they held was ended or given back"
    assert docmill.stop() == 0


def both_of(docmill: Docmill) -> list[psutil.Process]:
    until(lambda: len(docmill.workers()) == 2, "both workers are there")
    return docmill.workers()


def forked_from(workers: list[psutil.Process]) -> psutil.Process:
    (zygote,) = {worker.parent() for worker in workers}
    assert zygote is not None
    return zygote


def test_workers_and_their_parsers_yield_to_requests(data_dir: Path) -> None:
    """By their niceness; and in one session, where Linux weighs sessions against each other."""
    docmill = Docmill(data_dir, "--workers", "1")
    docmill.completed(docmill.upload("a.pdf", long_pdf(3)))
    serving = psutil.Process(docmill.started.process.pid)
    behind = [
        process
        for process in serving.children(recursive=True)
        if "worker" in process.cmdline() or "docmill.parse_zygote" in process.cmdline()
    ]
    assert len(behind) >= 3
    assert {process.nice() for process in behind} == {min(19, serving.nice() + BEHIND_REQUESTS)}
    assert {os.getsid(process.pid) for process in behind} == {os.getsid(serving.pid)}
    assert docmill.stop() == 0


def test_workers_share_one_zygote_and_one_that_is_killed_is_replaced(data_dir: Path) -> None:
    docmill = Docmill(data_dir, "--workers", "2", env={"DOCMILL_BACKOFF_SECONDS": "0"})
    serving = psutil.Process(docmill.started.process.pid)
    document_id = docmill.upload("a.pdf", long_pdf(1500))
    until(lambda: docmill.status(document_id)["progress"]["percent"] > 2, "it is being worked on")
    (zygote,) = zygotes_of(serving)
    until(lambda: len(zygote.children()) == 4, "each worker has its two")
    parsers = zygote.children()

    zygote.kill()

    docmill.started.says(r"the process that forks parsers died \(status -9\) and is replaced")
    assert docmill.completed(document_id)["progress"]["parse"]["done"] == 1500
    assert psutil.wait_procs([zygote, *parsers], timeout=30)[1] == []
    (another,) = zygotes_of(serving)
    assert another.children()
    assert another.nice() == min(19, serving.nice() + BEHIND_REQUESTS)
    assert docmill.stop() == 0
    assert not another.is_running()


def zygotes_of(serving: psutil.Process) -> list[psutil.Process]:
    """Of all below it: a fork of a zygote has its command, and is not one."""
    forks = [
        process
        for process in serving.children(recursive=True)
        if "docmill.parse_zygote" in process.cmdline()
    ]
    return [process for process in forks if process.parent() not in forks]


def test_embedded_postgres_that_dies_is_started_again_and_the_work_goes_on(data_dir: Path) -> None:
    docmill = Docmill(data_dir, env={"DOCMILL_LEASE_SECONDS": "2"})
    document_id = docmill.upload("a.pdf", long_pdf(800))
    until(lambda: docmill.status(document_id)["progress"]["percent"] > 2, "it is being worked on")
    os.kill(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    docmill.started.says("the embedded PostgreSQL died and is started again")
    until(lambda: docmill.http.get("/readyz").status_code == 200, "it takes work again")
    assert docmill.completed(document_id)["progress"]["parse"]["done"] == 800
    assert docmill.stop() == 0


def test_served_without_workers_documents_wait_and_it_is_told(data_dir: Path) -> None:
    docmill = Docmill(data_dir, "--workers", "0", ready=False)
    document_id = docmill.upload("a.txt", b"waits")
    ready = docmill.http.get("/readyz")
    assert ready.status_code == 503
    assert "No worker is running" in ready.json()["checks"]["workers"]["detail"]
    status = docmill.status(document_id)
    assert (status["status"], status["queue_position"]) == ("queued", 1)
    assert docmill.stop() == 0


def test_taken_port_is_one_sentence(data_dir: Path) -> None:
    docmill = Docmill(data_dir, "--workers", "0", ready=False)
    port = docmill.url.rsplit(":", 1)[1]
    second = Started("serve", "--port", port, "--data-dir", str(data_dir))
    assert second.wait() == 69
    assert f"127.0.0.1:{port} can't be listened on" in second.said[-1]
    assert docmill.stop() == 0


def test_server_told_to_stop_in_the_moment_of_its_start_stops(addresses: Addresses) -> None:
    assert addresses.admin is not None
    env = {"DOCMILL_DATABASE_URL": addresses.admin}
    server = Started("serve", "--port", "0", "--workers", "0", env=env)
    server.says(SERVES.pattern)
    assert server.terminate() == 0
