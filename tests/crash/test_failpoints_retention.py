"""Workers and `docmill clean` struck while they drop what is needed no longer: it goes, no more."""

import contextlib
import os
import signal
from uuid import UUID

import pytest

from docmill.failpoint import ACTIONS, MOMENTS, WorkerCommit
from faults import Fault, Scene, new_scene
from made_rows import OWNER, read_five_times
from running import Started, until

TABLES = ("pages", "chunks", "embeddings", "processing_jobs")


def left(scene: Scene, document_id: UUID) -> dict[str, list[int]]:
    """The generations that each table has of the document."""
    found = {}
    for table in TABLES:
        row = scene.one(
            f"select array_agg(distinct generation order by generation) as left_over from {table}"
            " where document_id = %s",
            [document_id],
        )
        found[table] = row["left_over"]
    return found


def attempts_left(scene: Scene, document_id: UUID) -> list[int]:
    rows = scene.admin.execute(
        "select a.attempt from job_attempts a join processing_jobs j on j.id = a.job_id"
        " where j.document_id = %s order by j.id, a.attempt",
        [document_id],
    )
    return [row["attempt"] for row in rows]


ALL_THAT_STAYS = {table: [2, 5] for table in TABLES}


def suffered(scene: Scene, fault: Fault, *command: str) -> None:
    document_id = read_five_times(scene.admin)
    scene.admin.execute(
        "insert into idempotent_requests (owner_id, key, until)"
        " select %s, n::text, now() - interval '1 hour' from generate_series(1, 10) n",
        [OWNER],
    )
    scene.admin.execute("update sweep set next_at = now()")
    env = {**scene.settings, "DOCMILL_WORKER_DATABASE_URL": scene.worker_url}
    faulty = Started(*command, env=env | {"DOCMILL_FAILPOINT": str(fault)})
    try:
        until(lambda: any("failpoint" in line for line in faulty.said), f"{fault} is reached")
        with scene.healthy_worker():
            until(lambda: left(scene, document_id) == ALL_THAT_STAYS, f"it goes after {fault}")
            until(lambda: attempts_left(scene, document_id) == [2] * 6, f"so do attempts: {fault}")
            until(
                lambda: scene.one("select count(*) = 0 as all_gone from idempotent_requests")[
                    "all_gone"
                ],
                f"so do requests after {fault}",
            )
            if fault.action == "freeze":
                faulty.go_on()
            with contextlib.suppress(ProcessLookupError):
                faulty.process.send_signal(signal.SIGTERM)
            faulty.wait()
        assert left(scene, document_id) == ALL_THAT_STAYS, f"after {fault}"
        assert attempts_left(scene, document_id) == [2] * 6, f"after {fault}"
    finally:
        if faulty.process.poll() is None:
            os.kill(faulty.process.pid, signal.SIGCONT)
            faulty.kill()


@pytest.mark.parametrize("commit", ["prune", "sweep"])
@pytest.mark.parametrize("command", ["worker", "clean"])
def test_struck_while_it_drops_what_is_needed_no_longer_it_drops_that_and_no_more(
    admin_url: str, command: str, commit: WorkerCommit
) -> None:
    with new_scene(admin_url) as scene:
        for moment in MOMENTS:
            for action in ACTIONS:
                suffered(scene, Fault(commit, moment, action), command)
