"""The fence, and a control without it: the same late worker, and what doubles when nobody refuses.

A test that a late result is refused could pass because nothing ever tried to double it. So the same
story runs twice: with the statements as they are, and with the claim's condition cut out of them.
"""

from collections.abc import Callable, Iterator

import pytest

from docmill import job_queue
from docmill.database import Sync
from docmill.errors import LeaseLost
from docmill.model import Job
from docmill.retry import RetryPolicy
from made_rows import claimed, uploaded

FENCES = (
    b"and lease_token = %(token)s and attempt = %(attempt)s and status = 'running'",
    b"and lease_token = h.token and attempt = h.attempt",
)
AT_ONCE = RetryPolicy(0, 0)
Write = Callable[[Sync, Job], None]


def finish(connection: Sync, job: Job) -> None:
    job_queue.finish(connection, [(job, 1)])


def checkpoint(connection: Sync, job: Job) -> None:
    job_queue.checkpoint(connection, job, done=1, lease_seconds=60)


class Unfenced:
    """The queue's statements with the claim's condition cut out."""

    def __init__(self, real: object) -> None:
        self._real = real

    def __getattr__(self, name: str) -> bytes:
        statement: bytes = getattr(self._real, name)
        for fence in FENCES:
            statement = statement.replace(fence, b"")
        return statement


@pytest.fixture
def effects(admin: Sync) -> Iterator[Callable[[], int]]:
    """A ledger that each committed write adds a line to; gives the number of lines."""
    admin.execute("create table public.effects (worker text)")
    admin.execute("grant insert on public.effects to docmill_worker")

    def count() -> int:
        row = admin.execute("select count(*) as lines from public.effects").fetchone()
        return int(row["lines"]) if row else 0

    yield count
    admin.execute("drop table public.effects")


def one_job_two_workers(admin: Sync, connection: Sync, write: Write) -> list[str]:
    """A worker is overtaken while it works; then both write. Who was refused."""
    uploaded(admin)
    late = claimed(connection, "late")
    admin.execute("update processing_jobs set lease_until = now() - interval '1 second'")
    job_queue.reap(connection, AT_ONCE)
    admin.execute("update processing_jobs set run_at = now()")
    other = claimed(connection, "other")
    assert late.id == other.id
    refused = []
    for job, worker in ((other, "other"), (late, "late")):
        try:
            with connection.transaction():
                connection.execute("insert into public.effects values (%s)", [worker])
                write(connection, job)
        except LeaseLost:
            refused.append(worker)
    return refused


@pytest.mark.parametrize("write", [finish, checkpoint])
def test_with_the_fence_a_job_has_one_effect(
    admin: Sync, worker_connection: Sync, effects: Callable[[], int], write: Write
) -> None:
    assert one_job_two_workers(admin, worker_connection, write) == ["late"]
    assert effects() == 1


@pytest.mark.parametrize("write", [finish, checkpoint])
def test_without_the_fence_the_same_story_doubles_it(
    admin: Sync,
    worker_connection: Sync,
    effects: Callable[[], int],
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_queue, "STATEMENTS", Unfenced(job_queue.STATEMENTS))
    assert one_job_two_workers(admin, worker_connection, write) == []
    assert effects() == 2
