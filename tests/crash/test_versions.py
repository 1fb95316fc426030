"""Code and schema of different versions: they work together, or one says why not and stops."""

from collections.abc import Iterator

import pytest

from docmill.database import Sync
from faults import Scene, new_scene
from guarded import guarded_docmill
from running import Started, until

FUTURE = 9000
CONTENT = {f"{n}.txt": f"text number {n}".encode() for n in range(5)}
# What a later version might do in the step that breaks nobody, and in the one that takes away.
EXPAND = """
    alter table documents add column language text;
    alter table processing_jobs add column cost numeric not null default 0;
    create table summaries (owner_id uuid not null, document_id uuid not null, text text);
"""
CONTRACT = "alter table processing_jobs rename column checkpoint to slices"


@pytest.fixture
def scene(admin_url: str) -> Iterator[Scene]:
    with new_scene(admin_url) as made:
        yield made


def upgrade(admin: Sync, statements: str, *, oldest_code: int = 0) -> None:
    """Do what the migration of a later version does."""
    with admin.transaction():
        admin.execute("set local role docmill_owner")
        admin.execute(statements.encode())
        admin.execute(
            "insert into schema_migrations (version, name, oldest_code) values (%s, 'future', %s)",
            [FUTURE, oldest_code],
        )


def refused(process: Started) -> bool:
    text = "\n".join(process.said)
    assert "Traceback" not in text
    return f"needs a docmill that knows version {FUTURE}" in text and "Upgrade docmill" in text


def test_older_worker_goes_on_when_a_newer_version_only_adds(scene: Scene) -> None:
    worker = scene.start_worker(None)
    scene.accept({"before.txt": b"before the upgrade"})
    until(scene.all_ended, "what came before ends")
    upgrade(scene.admin, EXPAND)
    scene.accept(CONTENT)
    until(scene.all_ended, "what came after ends")
    assert {ending.status for ending in scene.endings().values()} == {"completed"}
    assert worker.terminate() == 0


@pytest.mark.parametrize("statements", ["select 1", CONTRACT], ids=["told", "found out"])
def test_running_worker_that_is_too_old_stops_with_a_sentence(
    scene: Scene, statements: str
) -> None:
    worker = scene.start_worker(None)
    scene.accept({"before.txt": b"before the upgrade"})
    until(scene.all_ended, "what came before ends")
    upgrade(scene.admin, statements, oldest_code=FUTURE)
    scene.accept(CONTENT)
    assert worker.wait() == 69
    assert refused(worker)
    held = scene.one("select count(*) as held from processing_jobs where status = 'running'")
    assert held["held"] == 0


@pytest.mark.parametrize("command", [["worker"], ["serve", "--port", "0"], ["worker", "--once"]])
def test_docmill_that_is_too_old_does_not_start(scene: Scene, command: list[str]) -> None:
    upgrade(scene.admin, "select 1", oldest_code=FUTURE)
    started = Started(*command, env={"DOCMILL_DATABASE_URL": scene.url})
    assert started.wait() == (75 if "--once" in command else 69)
    assert refused(started)


def test_docmill_that_is_too_new_says_how_to_migrate(scene: Scene) -> None:
    scene.admin.execute("delete from schema_migrations where version = (select max(version)"
                        " from schema_migrations)")  # fmt: skip
    started = scene.start_worker(None)
    assert started.wait() == 69
    assert "Run `docmill migrate`" in started.said[-1]


def test_running_server_says_what_its_database_lacks(admin_url: str) -> None:
    with guarded_docmill(admin_url, DOCMILL_AUTH="none") as served:
        served.admin.execute("delete from schema_migrations where version = (select max(version)"
                             " from schema_migrations)")  # fmt: skip
        answer = served.docmill.http.get("/readyz")
        assert answer.status_code == 503
        (missing,) = answer.json()["missing"]
        assert "Run `docmill migrate`" in missing
        assert set(answer.json()["checks"]) == {"database", "migrations"}
