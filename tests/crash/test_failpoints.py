"""Every commit x {killed, frozen, an unexpected exception} x {just before, just after}.

Afterwards every acknowledged document has ended as it would have undisturbed, with the same pages,
passages and vectors; its end is told of once, and the audit trail has one row per attempt.
"""

import re
from pathlib import Path

import pytest

import docmill
from docmill.failpoint import (
    ACTIONS,
    API_COMMITS,
    MIGRATION_COMMITS,
    MOMENTS,
    WORKER_COMMITS,
    WorkerCommit,
)
from faults import SERVICE_COMMITS, WEBHOOK_COMMITS, Ending, Fault, side_by_side, undisturbed

SOURCES = Path(docmill.__file__).parent


@pytest.fixture(scope="module")
def expected(admin_url: str) -> dict[str, Ending]:
    return as_it_must_be(undisturbed(admin_url))


@pytest.fixture(scope="module")
def expected_with_service(admin_url: str) -> dict[str, Ending]:
    return as_it_must_be(undisturbed(admin_url, with_service=True))


def as_it_must_be(endings: dict[str, Ending]) -> dict[str, Ending]:
    assert {name: (ending.status, ending.code) for name, ending in endings.items()} == {
        "small.txt": ("completed", None),
        "long.pdf": ("completed", None),
        "long.txt": ("completed", None),
        "blank.pdf": ("completed", None),
        "broken.pdf": ("failed", "FILE_UNREADABLE"),
        "overdue.txt": ("completed", None),
        "lost.txt": ("failed", "WORKER_LOST"),
    }
    assert all(ending.events == (f"document.{ending.status}",) for ending in endings.values())
    return endings


@pytest.mark.parametrize(
    "commit", [c for c in WORKER_COMMITS if c not in SERVICE_COMMITS | WEBHOOK_COMMITS]
)
def test_worker_struck_at_a_commit_loses_and_doubles_nothing(
    admin_url: str, expected: dict[str, Ending], commit: WorkerCommit
) -> None:
    strike(admin_url, expected, commit)


@pytest.mark.parametrize("commit", [c for c in WORKER_COMMITS if c in SERVICE_COMMITS])
def test_worker_struck_while_it_asks_a_service_loses_and_doubles_nothing(
    admin_url: str, expected_with_service: dict[str, Ending], commit: WorkerCommit
) -> None:
    strike(admin_url, expected_with_service, commit)


def strike(admin_url: str, expected: dict[str, Ending], commit: WorkerCommit) -> None:
    faults = [Fault(commit, moment, action) for moment in MOMENTS for action in ACTIONS]
    for fault, endings in side_by_side(admin_url, faults).items():
        assert endings == expected, f"after {fault}"


def test_every_commit_has_its_failpoint() -> None:
    """The pools commit only under a name; other connections that commit are listed here."""
    text = {str(path.relative_to(SOURCES)): path.read_text() for path in SOURCES.rglob("*.py")}
    named = set()
    for name, source in text.items():
        if name != "failpoint.py":
            named |= set(re.findall(r'"([a-z_]+)"', source))
    assert {*API_COMMITS, *WORKER_COMMITS, *MIGRATION_COMMITS} <= named
    # `wakeup.py` listens, `pooling.py` asks what it is connected to, `backup.py` restores into a
    # database that is nobody's yet, `heartbeat.py` beats by `failpoint.around`, `migrate.py` by
    # `_locked`. The API's pool commits by itself, so `database.py` opens its transactions.
    autocommitting = {name for name, source in text.items() if "autocommit=True" in source}
    assert autocommitting == {"backup.py", "wakeup.py", "pooling.py", "heartbeat.py"}
    transacting = {name for name, source in text.items() if ".transaction()" in source}
    assert transacting == {"database.py", "migrate.py"}
