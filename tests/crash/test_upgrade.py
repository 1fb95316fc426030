"""An upgrade while work goes on: two versions side by side on one database (docs/upgrade.md)."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from docmill import migrate
from docmill.database import Sync
from faults import Scene, new_scene
from running import Docmill, Started, until
from versions import NEXT, next_version, previous_version
from witness import long_pdf

QUICK = {
    "DOCMILL_LEASE_SECONDS": "2",
    "DOCMILL_POLL_SECONDS": "0.2",
    "DOCMILL_BACKOFF_SECONDS": "0.1",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that whoever reads files may pass through, unlike a test's own."""
    with tempfile.TemporaryDirectory(prefix="docmill-versions-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def scene(admin_url: str) -> Iterator[Scene]:
    with new_scene(admin_url, migrated=False) as made:
        yield made


def served(url: str, python: str = sys.executable) -> Docmill:
    env = {**QUICK, "DOCMILL_DATABASE_URL": url}
    return Docmill(None, "--workers", "1", env=env, python=python)


def worked(admin: Sync) -> set[int]:
    """The processes that ended something well."""
    rows = admin.execute(
        "select distinct split_part(worker, ':', 2)::int as pid from job_attempts"
        " where outcome = 'succeeded'"
    ).fetchall()
    return {row["pid"] for row in rows}


def test_previous_version_and_this_one_share_the_work_of_one_database(
    scene: Scene, folder: Path
) -> None:
    with ExitStack() as stack:
        before = served(scene.url, previous_version(folder))
        stack.callback(before.stop)
        first = before.upload("first.txt", b"sent before anybody thought of upgrades")
        before.completed(first)
        migrated = Started("migrate", env={"DOCMILL_DATABASE_URL": scene.url})
        assert migrated.wait() == 0, migrated.said
        after = served(scene.url)
        stack.callback(after.stop)
        both = (before, after)
        until(lambda: all(docmill.workers() for docmill in both), "each has its worker")
        versions = {worker.pid for docmill in both for worker in docmill.workers()}
        sent: list[str] = []

        def shared() -> bool:
            for number, docmill in enumerate(both):
                words = f"words {len(sent)} by {number}".encode()
                sent.append(docmill.upload(f"{len(sent)}.txt", words))
            return versions <= worked(scene.admin)

        until(shared, "workers of both versions end something well")
        long = before.upload("long.pdf", long_pdf(700))
        for document_id in (first, long, *sent):
            for docmill in both:
                assert docmill.completed(document_id)["progress"]["percent"] == 100
        for docmill in both:
            assert first in {hit["document_id"] for hit in docmill.search("upgrades")}
        ends_what_the_other_began(before, after)
        ends_what_the_other_began(after, before)
        assert scene.untrue_trails() == []
        assert "Traceback" not in "\n".join(before.started.said + after.started.said)


def ends_what_the_other_began(one: Docmill, other: Docmill) -> None:
    """What one version began is cancelled, tried again and deleted by the other."""
    document_id = one.upload("much.pdf", long_pdf(4000), external_id=one.url)
    other.begun(document_id)
    assert other.http.post(f"/documents/{document_id}/cancel").status_code == 202
    assert one.status(document_id)["status"] == "cancelled"
    assert other.http.post(f"/documents/{document_id}/retry").status_code == 202
    assert one.http.delete(f"/documents/{document_id}").status_code == 204
    assert other.http.get(f"/documents/{document_id}").status_code == 404


def test_next_version_refuses_a_schema_that_is_older_and_this_one_goes_on_with_a_newer(
    scene: Scene, folder: Path
) -> None:
    python = next_version(folder)
    with ExitStack() as stack:
        now = served(scene.url)
        stack.callback(now.stop)
        early = Started(
            "worker", env={"DOCMILL_WORKER_DATABASE_URL": scene.worker_url}, python=python
        )
        assert early.wait() == 69
        assert early.said[-1].endswith(
            f"schema is version {migrate.newest_version()}, this docmill needs {NEXT}. Run"
            " `docmill migrate` with DOCMILL_DATABASE_URL set."
        )
        migrated = Started("migrate", env={"DOCMILL_DATABASE_URL": scene.url}, python=python)
        assert migrated.wait() == 0
        assert migrated.said == ["applied next"]
        now.completed(now.upload("a.txt", b"the schema is newer than the code"))
        later = served(scene.url, python)
        stack.callback(later.stop)
        later.completed(later.upload("b.txt", b"the schema is as new as the code"))


def test_migrations_that_take_away_say_which_code_they_stop() -> None:
    """What older code uses goes a version later than the code that needs it no more."""
    takes = ("drop table", "drop column", "rename ", "drop function", "drop view")
    for migration in migrate.migrations():
        text = migration.statements.lower()
        if any(words in text for words in takes):
            assert migration.oldest_code > 0, f"{migration.name} lacks `-- oldest code: N`"
