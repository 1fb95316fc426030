"""Whatever meets whom, in whatever order: no deadlock, no false state, no effect twice."""

from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import pytest
from psycopg.conninfo import make_conninfo

from docmill import chunk_stage, control, database, embed, parse_stage
from docmill.database import Addresses, Async
from docmill.errors import Problem
from isolation import scenes
from isolation.cast import SETTINGS, Cast
from isolation.explore import schedules
from isolation.meetings import DEEDS, MEETINGS, Meeting
from isolation.promises import PROMISES, Promise, broken, ending
from isolation.rows import Rows

NO_BOUND = 99


@pytest.fixture(scope="module")
def cast(migrated: Addresses) -> Iterator[Cast]:
    """Who takes part, in a docmill whose parts are short. Nobody waits for a disk."""
    admin_url, api, worker = (
        make_conninfo(url or "", options="-c synchronous_commit=off")
        for url in (migrated.admin, migrated.api, migrated.worker)
    )
    with (
        pytest.MonkeyPatch.context() as patch,
        database.connect(admin_url, autocommit=True) as admin,
    ):
        patch.setattr(parse_stage, "PAGES_PER_PART", 1)
        patch.setattr(chunk_stage, "CHUNKS_PER_PART", 1)
        admin.execute("select set_config('search_path', 'docmill, extensions', false)")
        addresses = Addresses(admin_url, api, worker)
        cast = Cast(admin, addresses, embed.create_embedder(SETTINGS))
        yield cast
        cast.leave()


@pytest.fixture
def breaks(request: pytest.FixtureRequest) -> int:
    """How often somebody is broken off at most."""
    return int(request.config.getoption("--breaks"))


def orders(cast: Cast, meeting: Meeting, breaks: int) -> Iterator[tuple[str, str, list[str]]]:
    """For each order: what it was, how it ended, and everything that is wrong with it."""
    scene = meeting.given(cast)
    sessions = {}
    for sentence in meeting.who:
        name, deed = sentence.split(" ", 1)
        part = cast[name]
        sessions[part.session] = lambda part=part, deed=deed: DEEDS[deed](part, scene)
    for schedule in schedules(cast.admin, sessions, Rows(cast.admin).restore, breaks):
        wrong = list(broken(cast.admin)) + ["deadlock"] * schedule.deadlocked
        for session in sessions:
            errors = [*session.errors, session.raised]
            allowed = (*meeting.retried, Problem, type(None))  # a Problem is an answer
            wrong += [f"{session.name}: {e!r}" for e in errors if not isinstance(e, allowed)]
        yield str(schedule), ending(cast.admin), wrong


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize("meeting", MEETINGS, ids=str)
def test_in_no_order_is_there_a_deadlock_or_a_false_state(
    cast: Cast, meeting: Meeting, breaks: int
) -> None:
    ends = Counter[str]()
    for order, end, wrong in orders(cast, meeting, breaks):
        assert not wrong, f"{order} -> {end}: {wrong}"
        assert end in meeting.ends, f"{order} -> {end}"
        ends[end] += 1
    if breaks >= NO_BOUND:
        assert set(ends) == meeting.ends
    print(f"{ends.total()} orders")


async def lock_once(connection: Async, document_id: UUID) -> None:
    """Without a second look at what was added meanwhile."""
    await connection.execute(control.QUEUE.lock_jobs, {"document_id": document_id})


async def lock_the_document_first(connection: Async, document_id: UUID) -> None:
    """Against the one lock order."""
    await connection.execute("select from documents where id = %s for no key update", [document_id])
    await lock_once(connection, document_id)


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    ("lock", "deed", "wrong"),
    [
        (lock_once, "cancels", "not so: a document that has ended has no job that waits or runs"),
        (lock_once, "deletes", "deadlock"),
        (lock_the_document_first, "cancels", "deadlock"),
    ],
)
def test_some_order_shows_what_a_wrong_lock_does(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, lock: object, deed: str, wrong: str
) -> None:
    monkeypatch.setattr(control, "_lock_jobs", lock)
    meeting = Meeting(scenes.begun, ("first carries on", f"owner {deed}"), set())
    assert any(
        sentence.startswith(wrong)
        for _, _, found in orders(cast, meeting, NO_BOUND)
        for sentence in found
    )


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.says)
def test_a_broken_promise_is_noticed(cast: Cast, promise: Promise) -> None:
    scenes.one_completed_one_held(cast)
    assert not list(broken(cast.admin))
    with cast.admin.transaction():
        cast.admin.execute("set local session_replication_role = replica")
        cast.admin.execute(promise.broken_by)
    assert any(promise.says in sentence for sentence in broken(cast.admin))
