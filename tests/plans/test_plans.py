"""No statement reads more of the database because there is more in it, or because it has just come.

The rows are there for real and each statement runs for real, by the role that runs it, in a
transaction that is rolled back. What it read is asked of the server: the pages of all tables and
indexes, also those that triggers, foreign keys and functions read, which no plan shows.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import pytest

from conftest import MODEL
from databases import migrated_database
from docmill import database, own_session
from docmill.database import API_ROLE, WORKER_ROLE, Sync
from plans import many_rows, references
from plans.expected import ALWAYS, COSTS, ELSEWHERE, FUNCTIONS, GROWS, ROLES, text_of

# `make plans` takes a million.
JOBS = int(os.environ.get("JOBS", "200000"))
# Tables of fewer pages may be read through: that is the quickest way.
SMALL = 64
# A function's statement is planned for its values five times, and then for all, if that is as good.
PLANNED_FOR_ALL_VALUES = 7
# What finding rows in an index may cost: the way to the first, and each of them.
WAY_PAGES = 8
ROW_PAGES = 4

# What this session has read, as far as it has not told the statistics of all sessions yet.
READ = """
select coalesce(sum(pg_stat_get_xact_blocks_fetched(oid)), 0)::int as pages,
       coalesce(sum(pg_stat_get_xact_numscans(oid)) filter (
         where relkind = 'r' and pg_relation_size(oid) > %(small)s * 8192), 0)::int as read_through
from pg_class
where relnamespace = 'docmill'::regnamespace or relnamespace = 'pg_toast'::regnamespace
"""


@dataclass(frozen=True, slots=True)
class Read:
    """Pages that were read, and how often a table was read through that is not small."""

    pages: int
    read_through: int

    def __sub__(self, before: "Read") -> "Read":
        return Read(self.pages - before.pages, self.read_through - before.read_through)


def read_by(connection: Sync) -> Read:
    row = connection.execute(READ, {"small": SMALL}).fetchone()
    assert row is not None
    return Read(**row)


@dataclass(frozen=True, slots=True)
class Place:
    """The database, and a connection of each role to it."""

    admin: Sync
    roles: Mapping[str, Sync]
    subjects: Mapping[str, Mapping[str, Any]]
    references: Sync | None = None


@pytest.fixture(scope="module")
def place(admin_url: str) -> Iterator[Place]:
    """A database of its own, in use for long, to which many documents have just come."""
    with migrated_database(admin_url, MODEL) as url, _connected(url) as place:
        yield place


@contextmanager
def _connected(url: str) -> Iterator[Place]:
    addresses = database.addresses(url)
    with (
        database.connect(url, autocommit=True) as admin,
        database.connect(addresses.api, autocommit=True) as api,
        database.connect(addresses.worker, autocommit=True) as worker,
    ):
        many_rows.prepare(admin)
        many_rows.used_for_long(admin, JOBS)
        admin.execute("analyze")
        many_rows.burst(admin)
        yield Place(admin, {API_ROLE: api, WORKER_ROLE: worker}, many_rows.subjects(admin))


STATES = {
    "not analyzed since the burst": lambda _: None,
    "analyzed": lambda admin: admin.execute("analyze"),
    "never analyzed": many_rows.forget_statistics,
    "dead rows": many_rows.churn,
}


@pytest.fixture(scope="module", params=STATES)
def known(request: pytest.FixtureRequest, place: Place) -> Place:
    """The database, and what the planner knows of it."""
    STATES[request.param](place.admin)
    return place


@contextmanager
def rolled_back(place: Place, statement: str) -> Iterator[tuple[Sync, dict[str, Any]]]:
    """A transaction as the statement's role has it, and what the statement is told."""
    cost = {**COSTS, **FUNCTIONS}[statement]
    subject = place.subjects[cost.of]
    connection = place.roles[ROLES[statement.partition(".")[0]]]
    claims = json.dumps({"sub": str(subject["owner_id"])})
    # Behind psycopg's back: it forgets what it has prepared when it sees a rollback.
    connection.pgconn.exec_(b"begin")
    try:
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        if cost.behind:
            connection.execute(cost.behind, prepare=False)  # may be several
        yield connection, {**ALWAYS, **subject, **cost.told}
    finally:
        connection.pgconn.exec_(b"rollback")


def statements() -> dict[str, bytes]:
    """Every statement of docmill, by its file and name."""
    found = {}
    for file in files("docmill").iterdir():
        stem, _, suffix = file.name.partition(".")
        if suffix == "sql" and stem not in ELSEWHERE:
            for name, text in database.Statements(stem)._statements.items():
                found[f"{stem}.{name}"] = text_of(f"{stem}.{name}", text)
    return found


STATEMENTS = statements()


def run(place: Place, statement: str) -> Read:
    """Run a statement and take back what it did."""
    with rolled_back(place, statement) as (connection, told):
        before = read_by(connection)
        connection.execute(STATEMENTS[statement.partition(":")[0]], told)
        return read_by(connection) - before


def plan_of(place: Place, statement: str) -> str:
    """The plan of the statement, for whoever has to mend it."""
    with rolled_back(place, statement) as (connection, told):
        explained = b"explain (analyze, buffers, timing off) "
        explained += STATEMENTS[statement.partition(":")[0]]
        rows = connection.execute(explained, told).fetchall()
    return "\n".join(row["QUERY PLAN"] for row in rows)


def test_every_statement_says_what_it_may_cost() -> None:
    assert sorted(STATEMENTS) == sorted({**COSTS, **GROWS})
    assert not set(COSTS) & set(GROWS)


@pytest.mark.parametrize("statement", COSTS)
def test_statement_reads_no_more_than_it_may(known: Place, statement: str) -> None:
    run(known, statement)  # whoever comes first tidies up behind others
    read = run(known, statement)
    print(f"\n{read.pages:6} of {COSTS[statement].pages:6}  {statement}", end="")
    assert read.pages <= COSTS[statement].pages, plan_of(known, statement)
    assert not read.read_through, plan_of(known, statement)


@pytest.mark.parametrize(("owners", "jobs"), [(10_000, 1), (1, 100_000)])
def test_claim_reads_no_more_for_many_owners_or_one_long_line(
    place: Place, owners: int, jobs: int
) -> None:
    with more_waiting(place, owners, jobs, due_in="-1 second") as claim:
        claim()
        assert claim() <= COSTS["job_queue.claim_jobs"].pages


def test_claim_reads_little_of_each_owner_who_only_waits_for_a_later_try(place: Place) -> None:
    with more_waiting(place, 10_000, 2, due_in="1 hour") as claim:
        claim()
        assert claim() <= 15 * 10_000


@contextmanager
def more_waiting(
    place: Place, owners: int, jobs: int, *, due_in: str
) -> Iterator[Callable[[], int]]:
    """Let so many more owners wait with so many jobs each; a claim that says what it read."""
    more = {"owners": owners, "jobs": jobs, "due_in": due_in}
    told = {**ALWAYS, "after": many_rows.id_of("owner", 0)}

    def claim() -> int:
        before = read_by(place.admin)
        place.admin.execute(STATEMENTS["job_queue.claim_jobs"], told)
        read = read_by(place.admin) - before
        print(f"\n{read.pages:6} for a claim beside {more}", end="")
        assert not read.read_through
        return read.pages

    with place.admin.transaction(force_rollback=True):
        place.admin.execute(many_rows.MORE_WAIT, more)
        place.admin.execute(f"set local role {WORKER_ROLE}".encode())
        yield claim


WORKERS_COSTS = [name for name in COSTS if ROLES[name.partition(".")[0]] == WORKER_ROLE]


@pytest.fixture(scope="module")
def filled_since(admin_url: str, place: Place) -> Iterator[Place]:
    """A database that all of it came to after sessions had planned what they keep.

    What they are asked for has the same ids as in the other database.
    """
    with (
        migrated_database(admin_url, MODEL) as url,
        database.connect(url, autocommit=True) as admin,
        database.connect(url) as worker,
        database.connect(database.addresses(url).api, autocommit=True) as api,
        database.connect(url, autocommit=True) as planned,
    ):
        many_rows.prepare(admin)
        planned.execute("set search_path = docmill")
        planned.execute("set plan_cache_mode = force_generic_plan")
        for check in references.checks(planned):
            check.prepare(planned)
        own_session.keep_plans(worker)
        worker.autocommit = True
        # A superuser's session in the worker's role: what it refers to is not there yet.
        worker.execute("set search_path = docmill, extensions")
        worker.execute("set session_replication_role = replica")
        worker.execute(f"set role {WORKER_ROLE}".encode())
        roles = {WORKER_ROLE: worker, API_ROLE: api}
        empty = Place(admin, roles, place.subjects, references=planned)
        for statement in WORKERS_COSTS:
            for _ in range(own_session.PREPARE_AFTER + 1):
                run(empty, statement)
        for statement in FUNCTIONS:
            for _ in range(PLANNED_FOR_ALL_VALUES):
                run(empty, statement)
        worker.execute("reset role")
        worker.execute("set session_replication_role = origin")
        worker.execute(f"set role {WORKER_ROLE}".encode())
        many_rows.used_for_long(admin, JOBS)
        many_rows.burst(admin)
        yield replace(empty, subjects=many_rows.subjects(admin))


@pytest.mark.parametrize("statement", WORKERS_COSTS)
def test_statement_that_was_planned_in_an_empty_database_reads_no_more_than_it_may(
    filled_since: Place, statement: str
) -> None:
    planned = prepared(filled_since)
    run(filled_since, statement)  # whoever comes first tidies up behind others
    read = run(filled_since, statement)
    assert prepared(filled_since) == planned, "it was planned anew"
    print(f"\n{read.pages:6} of {COSTS[statement].pages:6}  {statement}", end="")
    assert read.pages <= COSTS[statement].pages, plan_of(filled_since, statement)
    assert not read.read_through, plan_of(filled_since, statement)


@pytest.mark.parametrize("statement", FUNCTIONS)
def test_function_that_was_planned_in_an_empty_database_reads_no_more_than_it_may(
    filled_since: Place, statement: str
) -> None:
    run(filled_since, statement)
    read = run(filled_since, statement)
    print(f"\n{read.pages:6} of {FUNCTIONS[statement].pages:6}  {statement}", end="")
    assert read.pages <= FUNCTIONS[statement].pages
    assert not read.read_through


def test_check_of_a_reference_that_was_planned_in_an_empty_database_reads_few_pages(
    filled_since: Place,
) -> None:
    """As a session checks them that began in a new database, before the first `analyze`."""
    connection = filled_since.references
    assert connection is not None
    owner = many_rows.id_of("owner", 0)
    asked = {}
    for check in references.checks(connection):
        if values := check.one_that_refers(connection, owner):
            with connection.transaction():
                before = read_by(connection)
                rows = check.execute(connection, values)
                read = read_by(connection) - before
            asked[check.name] = (read.pages, rows)
    print(
        "", *(f"{pages:6} for {rows:5}  {name}" for name, (pages, rows) in asked.items()), sep="\n"
    )
    assert len(asked) > 20
    assert min(rows for _, rows in asked.values()) == 1
    read_more = {
        name for name, (pages, rows) in asked.items() if pages > WAY_PAGES + ROW_PAGES * rows
    }
    assert read_more == set()


def prepared(place: Place) -> int:
    asked = place.roles[WORKER_ROLE].execute("select from pg_prepared_statements", prepare=False)
    return asked.rowcount


def test_what_is_measured_is_found(place: Place) -> None:
    """A statement that finds nothing would read nothing: the subjects are there."""
    for name, subject in place.subjects.items():
        assert subject["document_id"] or subject["file_id"], name
    with rolled_back(place, "job_queue.claim_jobs") as (connection, told):
        claimed = connection.execute(STATEMENTS["job_queue.claim_jobs"], told).fetchall()
    assert len(claimed) > ALWAYS["group"]


def test_reading_a_table_through_would_be_seen(place: Place) -> None:
    connection = place.roles[WORKER_ROLE]
    with connection.transaction(force_rollback=True):
        before = read_by(connection)
        connection.execute("select from processing_jobs where done + 1 > 5")
        read = read_by(connection) - before
    assert read.read_through == 1
    assert read.pages > JOBS / 100
