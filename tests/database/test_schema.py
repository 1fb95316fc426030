"""The schema: migrated once by many, rows behind their owner, roles with few rights."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import made_rows
from databases import fresh_database
from docmill import database, migrate
from docmill.database import Addresses, Sync
from running import Started, until

MODEL = migrate.EmbeddingModel("wordllama-l2-256", 256)
ANOTHER = UUID("00000000-0000-4000-8000-0000000000ff")
HOW_IT_PLANS = "plan_cache_mode=force_custom_plan"
# One row per migration applies to all: no owner in it, and none needed.
SHARED = {
    "embedding_models",
    "embedding_services",
    "last_tick",
    "operator_actions",
    "queue_samples",
    "schema_migrations",
    "stage_limits",
    "sweep",
    "tallies",
    "workers",
}


@pytest.fixture
def fresh(admin_url: str) -> Iterator[str]:
    """The address of a database that docmill never saw."""
    with fresh_database(admin_url) as url:
        yield url


def described(url: str) -> list[tuple[object, ...]]:
    """Every column, constraint, index, policy and grant of the schema, as text."""
    queries = (
        """select table_name, column_name, data_type, is_nullable, column_default
           from information_schema.columns where table_schema = 'docmill'""",
        """select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
           where connamespace = 'docmill'::regnamespace""",
        # Not the models' own: which models there are is data.
        """select tablename, indexname, indexdef from pg_indexes
           where schemaname = 'docmill' and indexname not like 'vectors_of_model_%%'""",
        """select tablename, policyname, cmd, roles::text, qual, with_check from pg_policies
           where schemaname = 'docmill'""",
        """select table_name, grantee, privilege_type from information_schema.role_table_grants
           where table_schema = 'docmill'""",
    )
    with database.connect(url) as connection:
        rows = [row for query in queries for row in connection.execute(query.encode())]
    return sorted((tuple(str(value) for value in row.values()) for row in rows), key=str)


def become(connection: Sync, owner: UUID) -> None:
    """Act for an owner until the end of the transaction, as the API does."""
    claims = json.dumps({"sub": str(owner)})
    connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])


def test_many_processes_migrate_at_once_and_each_step_is_applied_once(fresh: str) -> None:
    started = [Started("migrate", env={"DOCMILL_DATABASE_URL": fresh}) for _ in range(6)]
    for process in started:
        assert process.wait() == 0, process.said
    said = [line for process in started for line in process.said]
    applied = [line.removeprefix("applied ") for line in said if line.startswith("applied ")]
    assert sorted(applied) == sorted(migration.name for migration in migrate.migrations())


def test_databases_of_one_server_are_migrated_at_the_same_moment(admin_url: str) -> None:
    names = [f"fresh_{uuid4().hex}" for _ in range(4)]
    with database.connect(admin_url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"create database {name}".encode())
        urls = [make_conninfo(admin_url, dbname=name) for name in names]
        with ThreadPoolExecutor() as pool:
            assert all(pool.map(lambda url: migrate.migrate(url, MODEL), urls))
        for name in names:
            connection.execute(f"drop database {name} with (force)".encode())


def test_a_migration_that_waits_for_work_that_waits_for_it_is_tried_again(
    fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0019 locks many tables, and nobody locks them all in the order in which it does."""
    known = migrate.migrations()
    with monkeypatch.context() as before:
        before.setattr(migrate, "migrations", lambda: known[:18])
        migrate.migrate(fresh, MODEL)
    with (
        database.connect(fresh) as work,
        database.connect(fresh, autocommit=True) as admin,
        ThreadPoolExecutor() as pool,
    ):
        work.execute("lock table docmill.webhook_attempts in row exclusive mode")
        migrated = pool.submit(migrate.migrate, fresh, MODEL)
        until(lambda: _waiting_for(admin, "docmill.webhook_attempts"), "the migration waits")
        # Before PostgreSQL looks why it waits so long: so it is the migration that is given up.
        work.execute("lock table docmill.pages in row exclusive mode")
        work.commit()
        assert migrated.result() == [migration.name for migration in known[18:]]


def _waiting_for(admin: Sync, table: str) -> bool:
    asked = "select from pg_locks where relation = %s::regclass and not granted"
    return admin.execute(asked, [table]).rowcount > 0


def test_a_second_migration_changes_nothing(fresh: str) -> None:
    assert migrate.migrate(fresh, MODEL)
    before = described(fresh)
    assert migrate.migrate(fresh, MODEL) == []
    assert described(fresh) == before


def test_a_migrated_and_a_fresh_schema_agree(fresh: str, migrated: Addresses) -> None:
    migrate.migrate(fresh, MODEL)
    assert migrated.admin is not None
    assert described(fresh) == described(migrated.admin)


@pytest.mark.usefixtures("migrated")  # the roles of the server are there
def test_an_admin_that_is_no_superuser_migrates_what_it_owns(admin_url: str, fresh: str) -> None:
    role = f"lesser_{uuid4().hex}"
    with database.connect(fresh, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute("create schema extensions")
        connection.execute("grant usage on schema extensions to public")
        connection.execute("create extension vector schema extensions")
        connection.execute(f"create role {role} login createrole password 'x'".encode())
        # On a server of its own it would have made these roles itself, with these options.
        is_new = connection.info.server_version >= 16_00_00
        options = "admin true, set false" if is_new else "admin option"
        for known in ("docmill_owner", "docmill_api", "docmill_worker"):
            connection.execute(f"grant {known} to {role} with {options}".encode())
        connection.execute(f"alter database {name} owner to {role}".encode())
    lesser = make_conninfo(fresh, user=role, password="x")
    applied = migrate.migrate(lesser, MODEL)
    assert applied == [migration.name for migration in migrate.migrations()]
    with database.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"alter database {name} owner to current_user".encode())
    with database.connect(fresh, autocommit=True) as connection:
        connection.execute(f"reassign owned by {role} to current_user".encode())
        connection.execute(f"drop owned by {role}".encode())
        for known in ("docmill_owner", "docmill_api", "docmill_worker"):
            connection.execute(f"revoke {known} from {role}".encode())
        connection.execute(f"drop role {role}".encode())


def test_another_dimension_under_the_same_name_is_refused(fresh: str) -> None:
    migrate.migrate(fresh, MODEL)
    with pytest.raises(Exception, match="has 512 dimensions"):
        migrate.migrate(fresh, migrate.EmbeddingModel(MODEL.name, 512))


def test_every_table_has_an_owner_and_forced_row_security(admin: Sync) -> None:
    tables = admin.execute(
        """select c.relname, c.relrowsecurity, c.relforcerowsecurity,
             exists (select from pg_attribute a where a.attrelid = c.oid
                     and a.attname = 'owner_id' and a.attnotnull) as owned
           from pg_class c where c.relnamespace = 'docmill'::regnamespace and c.relkind = 'r'"""
    ).fetchall()
    assert len(tables) >= 10
    for table in tables:
        if table["relname"] == "schema_migrations":
            continue
        assert table["relrowsecurity"], table
        assert table["relforcerowsecurity"], table
        assert table["owned"] or table["relname"] in SHARED, table


def test_every_reference_between_owned_tables_carries_the_owner(admin: Sync) -> None:
    references = admin.execute(
        """select pg_get_constraintdef(oid) as text, conrelid::regclass::text as source,
             confrelid::regclass::text as target from pg_constraint
           where contype = 'f' and connamespace = 'docmill'::regnamespace"""
    ).fetchall()
    # Passages carry the owner by their document; an embedding names its passage within it.
    bare = {("embeddings", "chunks")}
    found = {(row["source"], row["target"]) for row in references}
    assert ("pages", "documents") in found
    for row in references:
        if (row["source"], row["target"]) not in bare and row["target"] not in SHARED:
            assert "(owner_id, " in row["text"], row


def test_what_the_api_asks_in_one_statement_sees_its_owners_rows_only_and_writes_if_it_may(
    admin: Sync,
) -> None:
    """Row-level security holds in a function that runs as its caller; a stable one can't write."""
    rows = admin.execute(
        "select proname, prosecdef, provolatile from pg_proc"
        " where proname in ('document_statuses', 'add_new_document')"
    ).fetchall()
    assert {row["proname"]: row["provolatile"] for row in rows} == {
        "document_statuses": "s",
        "add_new_document": "v",
    }
    assert not any(row["prosecdef"] for row in rows)


def test_the_login_roles_are_no_superusers_and_own_nothing(admin: Sync) -> None:
    roles = admin.execute(
        """select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,
             exists (select from pg_auth_members m where m.member = r.oid) as is_member,
             exists (select from pg_class c where c.relowner = r.oid) as owns
           from pg_roles r where rolname in ('docmill_api', 'docmill_worker')"""
    ).fetchall()
    assert len(roles) == 2
    for role in roles:
        assert not any(value for name, value in role.items() if name != "rolname"), role


@pytest.mark.parametrize("table", ["documents", "processing_jobs", "files", "file_parts"])
def test_an_owner_sees_and_changes_no_row_of_another(
    admin: Sync, addresses: Addresses, table: str
) -> None:
    made_rows.uploaded(admin)
    made_rows.uploaded(admin, ANOTHER)
    with database.connect(addresses.api) as connection:
        unnamed = connection.execute(f"select owner_id from {table}".encode()).fetchall()
        become(connection, ANOTHER)
        named = connection.execute(f"select owner_id from {table}".encode()).fetchall()
    assert {row["owner_id"] for row in named} == {ANOTHER}
    assert not {row["owner_id"] for row in unnamed} & {ANOTHER, made_rows.OWNER}, (
        "without an owner no row is anybody's"
    )


def test_the_api_can_not_write_for_another_owner(admin: Sync, addresses: Addresses) -> None:
    made = made_rows.uploaded(admin, ANOTHER)
    with database.connect(addresses.api) as connection:
        become(connection, made_rows.OWNER)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "insert into documents (owner_id, file_id, filename) values (%s, %s, 'a')",
                [ANOTHER, made.file_id],
            )


@pytest.mark.parametrize(
    "change",
    [
        "status = 'failed'",
        "status = 'completed'",
        "status = 'nonsense'",
        "generation = 0",
    ],
)
def test_the_database_refuses_a_false_document(admin: Sync, change: str) -> None:
    made = made_rows.uploaded(admin)
    with pytest.raises(psycopg.errors.CheckViolation):
        admin.execute(f"update documents set {change} where id = %s".encode(), [made.document_id])


@pytest.mark.parametrize(
    "change", ["status = 'running'", "status = 'succeeded'", "status = 'failed'", "attempt = -1"]
)
def test_the_database_refuses_a_false_job(admin: Sync, change: str) -> None:
    made_rows.uploaded(admin)
    with pytest.raises(psycopg.errors.CheckViolation):
        admin.execute(f"update processing_jobs set {change}".encode())


def test_every_function_that_runs_with_other_rights_has_a_fixed_path_and_few_callers(
    admin: Sync,
) -> None:
    functions = admin.execute(
        """select p.proname, p.proowner::regrole::text as owner, p.proconfig,
             has_function_privilege('public', p.oid, 'execute') as anybody
           from pg_proc p where p.pronamespace = 'docmill'::regnamespace and p.prosecdef"""
    ).fetchall()
    assert len(functions) >= 9
    for function in functions:
        # Neither login may see keys, so what finds one runs as the owner of tables.
        about_keys = re.search("key|session", function["proname"])
        assert function["owner"] == ("docmill_owner" if about_keys else "docmill_worker"), function
        settings = set(function["proconfig"])
        assert settings - {HOW_IT_PLANS} == {"search_path=docmill, pg_temp"}, function
        assert not function["anybody"], function


def test_the_role_that_runs_them_can_make_nothing_in_the_schema(admin: Sync) -> None:
    row = admin.execute(
        "select has_schema_privilege('docmill_worker', 'docmill', 'create') as can_create"
    ).fetchone()
    assert row == {"can_create": False}


def test_an_index_of_every_owners_vectors_gives_way_to_that_of_the_large_ones(fresh: str) -> None:
    migrate.migrate(fresh, MODEL)
    with database.connect(fresh, autocommit=True) as connection:
        connection.execute("set search_path = docmill, public")
        connection.execute("alter index vectors_of_model_1 rename to embeddings_of_model_1")
        assert migrate.migrate(fresh, MODEL) == []
        row = connection.execute(
            "select to_regclass(%s) is null as is_gone, pg_get_indexdef(to_regclass(%s)) as new",
            ["embeddings_of_model_1", "vectors_of_model_1"],
        ).fetchone()
    assert row is not None
    assert row["is_gone"]
    assert row["new"].endswith("WHERE ((model_id = 1) AND indexed)")
