"""What goes by itself, what stays, and that it goes in small batches past everybody's locks."""

import re
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from docmill import retention
from docmill.config import Settings
from docmill.database import Addresses, Sync, WorkerDatabase, connect
from docmill.retention import Keep, Place
from made_rows import OWNER, read_five_times, uploaded
from running import Started

KEEP = Keep.of(Settings())


@pytest.fixture
def document(admin: Sync) -> UUID:
    """Read five times, long ago. The second generation serves, the fifth is the newest."""
    return read_five_times(admin)


def generations(admin: Sync, table: str) -> list[int]:
    query = f"select distinct generation from {table} order by generation"
    return [row["generation"] for row in admin.execute(query.encode())]


def swept(worker: Sync, keep: Keep = KEEP) -> Counter[str]:
    """Once around."""
    place, dropped = Place(), Counter[str]()
    while not place.is_the_end:
        with worker.transaction():
            place, batch = retention.sweep(worker, keep, place)
        dropped += batch
    return dropped


@pytest.mark.usefixtures("document")
def test_what_serves_and_what_is_newest_stays_and_other_generations_go(
    admin: Sync, worker_connection: Sync
) -> None:
    dropped = swept(worker_connection)
    for table in ("pages", "chunks", "embeddings", "processing_jobs"):
        assert generations(admin, table) == [2, 5], table
    # Of the jobs that stay, the last attempt does.
    kept = admin.execute("select distinct attempt from job_attempts").fetchall()
    assert kept == [{"attempt": 2}]
    assert dropped == {"chunks": 3, "pages": 3, "processing_jobs": 9, "job_attempts": 9 * 2 + 6}
    assert not swept(worker_connection)


@pytest.mark.usefixtures("document")
def test_history_stays_for_as_long_as_the_setting_says(
    admin: Sync, worker_connection: Sync
) -> None:
    dropped = swept(worker_connection, Keep(32, 30, 365))
    assert dropped == {"chunks": 3, "pages": 3}  # which nobody can see any more
    assert generations(admin, "processing_jobs") == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("document")
def test_document_that_was_never_searchable_keeps_its_newest_generation(
    admin: Sync, worker_connection: Sync
) -> None:
    admin.execute(
        "update documents set serving = null, served_file_id = null, served_filename = null"
    )
    swept(worker_connection)
    assert generations(admin, "chunks") == [5]
    assert generations(admin, "processing_jobs") == [5]


def test_running_attempt_and_its_job_stay(admin: Sync, worker_connection: Sync) -> None:
    uploaded(admin)
    admin.execute(
        "update processing_jobs set status = 'running', attempt = 3, worker = 'w',"
        " lease_token = gen_random_uuid(), lease_until = now() + interval '1 hour'"
    )
    admin.execute(
        "insert into job_attempts"
        " (owner_id, job_id, attempt, worker, started_at, ended_at, outcome)"
        " select owner_id, id, n, 'w', now() - interval '1 year',"
        "   case when n < 3 then now() - make_interval(days => 40 * (2 - n)) end,"
        "   case when n < 3 then 'released' end"
        " from processing_jobs, generate_series(1, 3) n"
    )
    assert swept(worker_connection) == {"job_attempts": 1}
    left = admin.execute("select attempt from job_attempts order by attempt").fetchall()
    assert [row["attempt"] for row in left] == [2, 3]


@pytest.mark.usefixtures("document")
def test_sweep_drops_no_more_in_one_commit_than_it_may_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, admin: Sync, worker_connection: Sync
) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    monkeypatch.setattr(retention, "SLICE_DOCUMENTS", 1)
    place, commits, most = Place(), 0, 0
    while not place.is_the_end:
        place, batch = retention.sweep(worker_connection, KEEP, place)
        commits, most = commits + 1, max(most, max(batch.values(), default=0))
    assert commits > 9
    # One of each kind of each of the two stretches of generations, and one attempt of other jobs.
    assert most <= 3
    assert generations(admin, "processing_jobs") == [2, 5]


@pytest.mark.usefixtures("document")
def test_sweep_waits_for_nobody_and_goes_on_when_it_may(
    admin: Sync, addresses: Addresses, worker_connection: Sync
) -> None:
    worker_connection.execute("set lock_timeout = '1s'")
    with connect(addresses.worker) as holder:
        holder.execute("select from processing_jobs for no key update")
        holder.execute("select from job_attempts for no key update")
        holder.execute("select from chunks for no key update")
        assert swept(worker_connection) == {"pages": 3}
        holder.rollback()
        holder.execute("select from documents for update")
        assert swept(worker_connection) == {"job_attempts": 15}  # they ask nothing of the document
    assert swept(worker_connection)["processing_jobs"] == 9
    assert generations(admin, "chunks") == [2, 5]


@pytest.mark.usefixtures("document")
def test_nobody_who_works_on_the_document_waits_for_the_sweep(
    admin: Sync, worker_connection: Sync
) -> None:
    admin.execute("set lock_timeout = '1s'")
    with worker_connection.transaction():
        assert retention.sweep(worker_connection, KEEP, Place())[1]
        admin.execute("update documents set status = 'processing', stage = 'embed', version = 9,"
                      " started_at = now()")  # fmt: skip
        admin.execute("update processing_jobs set done = total where generation = 5")


def test_two_workers_sweep_in_turns_and_not_all_the_time(
    admin: Sync, addresses: Addresses, worker_connection: Sync
) -> None:
    admin.execute("update sweep set next_at = now(), job_id = 5")
    with connect(addresses.worker) as other:
        retention.sweep_in_turn(other, KEEP)
        retention.sweep_in_turn(worker_connection, KEEP)  # does not wait for the other
        other.commit()
    row = admin.execute("select job_id, next_at > now() as later from sweep").fetchone()
    assert row == {"job_id": 0, "later": True}
    admin.execute("update sweep set job_id = 5")
    retention.sweep_in_turn(worker_connection, KEEP)  # it is not time yet
    assert admin.execute("select job_id from sweep").fetchone() == {"job_id": 5}


# A row of everything that goes by its age, so many days old.
AGED = {
    "uploads, files, file_parts": """
        with f as (
          insert into files (owner_id, receiving_until) values (%(owner)s, 'infinity') returning id
        ), p as (
          insert into file_parts (owner_id, file_id, position, data)
          select %(owner)s, id, n, 'hello' from f, generate_series(0, 2) n)
        insert into uploads (owner_id, file_id, said, metadata, expires_at)
        select %(owner)s, id, '{}', '', now() + interval '1 hour' - %(age)s from f""",
    "idempotent_requests": """
        insert into idempotent_requests (owner_id, key, until)
        values (%(owner)s, %(word)s, now() + interval '1 hour' - %(age)s)""",
    "browser_sessions": """
        insert into browser_sessions (token_sha256, owner_id, name, scopes, expires_at)
        values (sha256(%(word)s::text::bytea), %(owner)s, 'me', '{}',
                now() + interval '1 hour' - %(age)s)""",
    "paid_embeddings": """
        insert into paid_embeddings (owner_id, model_id, text_sha256, embedding, created_at)
        select %(owner)s, min(id), sha256(%(word)s::text::bytea), '[1]', now() - %(age)s
        from embedding_models""",
    "webhook_deliveries, webhook_secrets": """
        with w as (
          insert into webhooks (owner_id, url, events)
          values (%(owner)s, 'https://a.example/', '{document.failed}') returning id
        ), s as (
          insert into webhook_secrets (owner_id, webhook_id, secret, expires_at)
          select %(owner)s, id, sha256('s'), now() + interval '2 hours' - %(age)s from w)
        insert into webhook_deliveries (owner_id, webhook_id, event, body, created_at)
        select %(owner)s, id, 'e', '{}', now() - %(age)s from w""",
    "workers": """
        insert into workers (id, slots, seen_at) values (%(word)s, 1, now() - %(age)s)""",
    "operator_actions": """
        insert into operator_actions (at, operator, action, subject)
        values (now() - %(age)s, 'me', 'pause', 'parse')""",
}
TABLES = [table for names in AGED for table in names.split(", ")]


def numbers(admin: Sync) -> dict[str, int]:
    found = {}
    for table in TABLES:
        row = admin.execute(f"select count(*) as n from {table}".encode()).fetchone()
        assert row is not None
        found[table] = row["n"]
    return found


@pytest.fixture
def old_and_young(admin: Sync) -> None:
    """One row of each that should go, and one of each that should not yet."""
    admin.execute("delete from browser_sessions")
    for statement in AGED.values():
        for days in (0, 400):
            admin.execute(
                statement.encode(),
                {"owner": OWNER, "word": str(uuid4()), "age": timedelta(days)},
            )


@pytest.mark.usefixtures("old_and_young")
def test_of_everything_that_has_an_age_the_old_goes_and_the_young_stays(
    admin: Sync, addresses: Addresses
) -> None:
    assert set(TABLES) == set(retention.BY_AGE)
    before = numbers(admin)
    database = WorkerDatabase(addresses.worker, connections=1)
    with database.commit("prune") as connection:
        dropped = retention.prune(connection, KEEP)
    database.close()
    assert numbers(admin) == {table: number // 2 for table, number in before.items()}
    assert dropped == {table: number // 2 for table, number in before.items()}


@pytest.mark.usefixtures("old_and_young", "document")
def test_clean_says_what_would_go_and_then_drops_just_that(
    admin: Sync, addresses: Addresses
) -> None:
    env = {"DOCMILL_WORKER_DATABASE_URL": addresses.worker}

    def clean(*flags: str) -> list[str]:
        started = Started("clean", *flags, env=env)
        assert started.wait() == 0, started.said
        return started.said

    before = numbers(admin)
    would = [line.replace("would go", "dropped") for line in clean("--dry-run")]
    assert numbers(admin) == before
    assert len(would) == len(TABLES) + 4
    assert clean() == would
    assert generations(admin, "processing_jobs") == [2, 5]
    assert clean() == ["nothing to do: everything that is kept is still needed"]
    assert clean("--dry-run") == clean()


def test_every_table_is_kept_within_bounds_for_a_reason(admin: Sync) -> None:
    """A new table is pruned, swept or said here why it can't grow without end."""
    bounded = {
        "documents": "their owners delete them",
        "collections": "their owners name them",
        "embeddings": "with the passages",
        "embedding_models": "one row per model that was ever chosen",
        "embedding_services": "one row per service that fails",
        "stage_limits": "three rows",
        "last_tick": "one row",
        "tallies": "summed up every minute, to a few hundred rows",
        "sweep": "one row",
        "schema_migrations": "one row per migration",
        "queue_samples": "dropped by `sampling.prune` after a week",
        "api_keys": "made by hand",
        "webhooks": "twenty of each owner",
        "webhook_attempts": "with the deliveries",
        "large_owners": "one row per owner",
        "vectors_come": "summed up every minute, to a row per owner",
    }
    swept_up = {"chunks", "pages", "processing_jobs", "job_attempts"}
    rows = admin.execute("select tablename from pg_tables where schemaname = 'docmill'").fetchall()
    tables = {row["tablename"] for row in rows}
    assert tables == {*bounded, *swept_up, *retention.BY_AGE}
    assert asdict(KEEP) == {"history_days": 30, "webhook_log_days": 30, "operator_log_days": 365}


def test_no_index_names_what_moves_with_every_commit_of_progress(admin: Sync) -> None:
    """Else each such update writes anew into every index of the table, and they bloat."""
    rows = admin.execute(
        "select indexdef from pg_indexes where schemaname = 'docmill' and tablename = 'documents'"
    ).fetchall()
    named = {
        word
        for row in rows
        for word in re.findall(r"[a-z_]+", row["indexdef"].partition(" ON ")[2])
    }
    assert "created_at" in named
    assert not named & {"changed_at", "version", "pages_done", "chunks_done", "embedded_done"}
