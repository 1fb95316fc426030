"""A short storm on every run of the tests (`make storm` runs long ones), and its checker."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from docmill.database import Sync
from made_rows import uploaded
from storm import check
from storm.__main__ import storm
from storm.history import Exchange, History

SEED = 7
SECONDS = 25


def test_after_a_short_storm_everything_holds(tmp_path: Path) -> None:
    print(f"seed {SEED}, history in {tmp_path}")
    report = storm(SEED, SECONDS, tmp_path)
    assert report.violations == []
    assert report.exchanges > 100
    assert sum(report.faults.values()) > 5


# the checker -----------------------------------------------------------------------------


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(tmp_path / "history.jsonl")
    yield kept
    kept.close()


def told(action: str, code: int, document: str, **body: object) -> Exchange:
    now = time.monotonic()
    shown = {"document_id": document, **body}
    return Exchange(0, now, now, action, document, code, shown)


def seen(document: str, version: int, percent: float, status: str) -> Exchange:
    return told(
        "status", 200, document, version=version, generation=1, status=status, error=None,
        done=status == "completed", progress={"percent": percent},
    )  # fmt: skip


def test_checker_sees_an_acknowledged_document_that_is_gone(history: History, admin: Sync) -> None:
    history.add(told("upload", 202, str(uuid4())))
    assert any("is not there" in lie for lie in check.violations(history, admin))


def test_checker_sees_a_deleted_document_that_is_there(history: History, admin: Sync) -> None:
    history.add(told("delete", 204, str(uploaded(admin).document_id)))
    assert any("was deleted and is there" in lie for lie in check.violations(history, admin))


@pytest.mark.parametrize(
    ("first", "second", "lie"),
    [
        ((2, 50.0, "processing"), (1, 50.0, "processing"), "version 2 and then 1"),
        ((1, 50.0, "processing"), (2, 40.0, "processing"), "went back"),
        ((1, 0.0, "queued"), (1, 0.0, "processing"), "in one version"),
        ((1, 0.0, "queued"), (2, 100.0, "processing"), "100.0 % and processing"),
        ((1, 100.0, "completed"), (2, 10.0, "processing"), "nobody asked for it"),
    ],
)
def test_checker_sees_a_status_that_lied(
    history: History,
    admin: Sync,
    first: tuple[int, float, str],
    second: tuple[int, float, str],
    lie: str,
) -> None:
    document = str(uploaded(admin).document_id)
    for status in (first, second):
        history.add(seen(document, *status))
    assert any(lie in found for found in check.violations(history, admin))


def test_checker_sees_a_5xx_and_a_503_without_an_hour(history: History, admin: Sync) -> None:
    history.add(replace(told("search", 500, ""), document=None))
    history.add(replace(told("search", 503, ""), document=None))
    found = list(check.violations(history, admin))
    assert any("answered 500" in lie for lie in found)
    assert any("without Retry-After" in lie for lie in found)


def test_checker_sees_work_that_never_ends_and_a_trail_with_a_hole(
    history: History, admin: Sync
) -> None:
    made = uploaded(admin)
    found = list(check.violations(history, admin))
    assert any("for ever" in lie for lie in found)
    assert any("audit trail" in lie for lie in found)
    admin.execute("delete from processing_jobs where document_id = %s", [made.document_id])
    assert any("nobody has" in lie for lie in check.live_without_a_job(admin))


def test_checker_sees_counts_that_do_not_match_what_is_kept(history: History, admin: Sync) -> None:
    made = uploaded(admin)
    admin.execute(
        "update documents set status = 'completed', serving = 1, served_file_id = file_id,"
        " served_filename = filename, pages_done = 1, pages_total = 1, chunks_total = 0,"
        " completed_at = now() where id = %s",
        [made.document_id],
    )
    assert any("counts (1, 0, 0)" in lie for lie in check.violations(history, admin))
    admin.execute("delete from documents")
    assert any("belong to no document" in lie for lie in check.violations(history, admin))
