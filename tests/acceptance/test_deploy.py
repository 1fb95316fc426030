"""The recipes under deploy/ are run as they stand: their commands, queries and units."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import make_conninfo

from docmill import api_keys, database
from docmill.config import read_settings
from faults import Scene, new_scene
from running import Docmill, Started, until
from witness import long_pdf

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
SCHEDULER = "docmill_scheduler"


@pytest.fixture
def scene(admin_url: str) -> Iterator[Scene]:
    with new_scene(admin_url) as made:
        yield made


@pytest.fixture
def api(scene: Scene) -> Iterator[Docmill]:
    """An API whose documents wait for workers from elsewhere; it asks for keys."""
    env = {"DOCMILL_DATABASE_URL": scene.url, "DOCMILL_AUTH": "keys"}
    served = Docmill(None, "--workers", "0", env=env, ready=False)
    served.http.headers["Authorization"] = f"Bearer {key(scene, 'upload', 'read')}"
    yield served
    assert served.stop() == 0


def key(scene: Scene, *scopes: str) -> str:
    return api_keys.create(scene.admin, "somebody", "test", scopes, None).text


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def container(of: dict[str, Any]) -> dict[str, Any]:
    (only,) = of["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_every_recipe_is_in_the_docs() -> None:
    pages = "".join(
        page.read_text(encoding="utf-8") for page in (DEPLOY.parent / "docs").glob("*.md")
    )
    # A chart is one recipe of many files.
    files = [file for file in DEPLOY.rglob("*") if file.is_file() and "helm" not in file.parts]
    assert len(files) >= 8
    for file in files:
        assert file.name in pages, file


def test_tick_of_the_cron_job_finishes_what_is_due(scene: Scene, api: Docmill) -> None:
    (job,) = read("kubernetes/tick-cronjob.yaml")
    template = job["spec"]["jobTemplate"]["spec"]["template"]
    document_id = api.upload("a.txt", b"worked on by the clock")
    tick = Started(
        *container(template)["args"], env={"DOCMILL_WORKER_DATABASE_URL": scene.worker_url}
    )
    assert tick.wait() == 0, tick.said
    api.completed(document_id)


def test_tick_of_systemd_finishes_what_is_due(scene: Scene, api: Docmill) -> None:
    unit = (DEPLOY / "systemd" / "docmill-tick.service").read_text(encoding="utf-8")
    (command,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    document_id = api.upload("a.txt", b"worked on by the clock")
    tick = Started(*command.split()[1:], env={"DOCMILL_WORKER_DATABASE_URL": scene.worker_url})
    assert tick.wait() == 0, tick.said
    api.completed(document_id)


def test_units_are_what_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    for name in ("docmill-tick.service", "docmill-tick.timer"):
        unit = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(unit.replace("/opt/docmill/bin/docmill", "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "docmill-tick.timer"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "docmill" not in checked.stderr, checked.stderr


def test_tick_of_github_actions_finishes_what_is_due(scene: Scene, api: Docmill) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    (workflow,) = read("github-actions/docmill-tick.yml")
    (step,) = workflow["jobs"]["tick"]["steps"]
    document_id = api.upload("a.txt", b"worked on by the clock")
    env = {**os.environ, "DOCMILL_URL": api.url, "DOCMILL_TICK_KEY": key(scene, "tick")}
    ticked = subprocess.run(["bash", "-euo", "pipefail", "-c", step["run"]], env=env, check=False,
                            capture_output=True, text=True)  # fmt: skip
    assert ticked.returncode == 0, ticked.stderr
    assert '"finished":3' in ticked.stdout.replace(" ", "")
    api.completed(document_id)
    refused = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step["run"]], check=False, capture_output=True,
        env={**env, "DOCMILL_TICK_KEY": key(scene, "read")},
    )  # fmt: skip
    assert refused.returncode != 0, "a tick that is refused is a failed run"


# workers as needed -----------------------------------------------------------------------


def scheduler_address(scene: Scene) -> str:
    """As an admin gives it a password, and KEDA gets it."""
    scene.admin.execute(f"alter role {SCHEDULER} password 'known to KEDA'")
    return make_conninfo(scene.url, user=SCHEDULER, password="known to KEDA")


def test_workers_come_when_there_is_work_and_go_when_there_is_none(
    scene: Scene, api: Docmill
) -> None:
    scaled, _ = read("kubernetes/keda-scaledobject.yaml")
    (deployment,) = read("kubernetes/worker-deployment.yaml")
    asked = scaled["spec"]["triggers"][0]["metadata"]["query"]
    args = container(deployment["spec"]["template"])["args"]
    with database.connect(scheduler_address(scene), autocommit=True) as keda:

        def wanted() -> int:
            (row,) = keda.execute(asked.encode()).fetchall()
            return int(row["due_jobs"])

        assert wanted() == 0
        sent = [api.upload(f"{n}.txt", f"text {n}".encode()) for n in range(5)]
        sent.append(api.upload("long.pdf", long_pdf(700)))
        assert wanted() == 6
        assert {api.status(document_id)["status"] for document_id in sent} == {"queued"}
        worker = Started(*args, env={"DOCMILL_WORKER_DATABASE_URL": scene.worker_url})
        for document_id in sent:
            api.completed(document_id)
        until(lambda: wanted() == 0, "nothing is left to do")
        assert worker.terminate() == 0
        late = api.upload("late.txt", b"nobody is here")
        assert wanted() == 1
        assert api.status(late)["status"] == "queued"
        again = Started(*args, env={"DOCMILL_WORKER_DATABASE_URL": scene.worker_url})
        api.completed(late)
        assert again.terminate() == 0


def test_what_runs_counts_and_what_rests_or_waits_does_not(scene: Scene) -> None:
    def due() -> int:
        return int(scene.one("select due_jobs() as n")["n"])

    scene.accept({"a.txt": b"one", "b.txt": b"two", "c.txt": b"three"})
    assert due() == 3
    scene.admin.execute("update processing_jobs set run_at = now() + interval '1 hour'"
                        " where id = (select min(id) from processing_jobs)")  # fmt: skip
    assert due() == 2
    scene.admin.execute("insert into stage_limits (stage, paused) values ('parse', true)")
    assert due() == 0
    scene.admin.execute("update stage_limits set paused = false")
    worker = Started("worker", env={
        "DOCMILL_WORKER_DATABASE_URL": scene.worker_url, "DOCMILL_FAILPOINT": "claim:after=freeze",
    })  # fmt: skip
    until(lambda: any("failpoint" in line for line in worker.said), "it holds both")
    assert scene.one("select count(*) as n from processing_jobs where status = 'running'")["n"] == 2
    assert due() == 2
    worker.kill()


@pytest.mark.parametrize(
    "statement",
    [
        "select * from docmill.processing_jobs",
        "select count(*) from docmill.documents",
        "select * from docmill.workers",
        "select docmill.operator_stages()",
        "create table docmill.mine ()",
    ],
)
def test_who_asks_how_much_there_is_to_do_may_ask_nothing_else(
    scene: Scene, statement: str
) -> None:
    with database.connect(scheduler_address(scene), autocommit=True) as scheduler:
        assert scheduler.execute("select docmill.has_due_work() as due").fetchone() == {
            "due": False
        }
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            scheduler.execute(statement.encode())


def test_drain_is_shorter_than_what_kubernetes_waits() -> None:
    (deployment,) = read("kubernetes/worker-deployment.yaml")
    patience = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert patience > read_settings({}).drain_seconds + 5
