"""docmill where its admin is no superuser, with the least that it needs (docs/supabase.md)."""

from collections.abc import Iterator

import psycopg
import pytest

from docmill import database
from docmill.database import API_ROLE, WORKER_ROLE
from running import Docmill, Started
from supabase import like_supabase, set_up
from tcp_postgres import TcpPostgres

PASSWORD = "correct horse battery staple"
LONG_PASSWORD = "é" * 50  # beyond a block of the hash, in bytes
OTHERS = (
    "select * from auth.users",
    "create table auth.mine ()",
    "create role another",
    "create database another",
    "create schema another",
    "alter role docmill_admin bypassrls",
    "grant pg_read_all_data to docmill_admin",
)


@pytest.fixture(scope="module")
def server() -> Iterator[TcpPostgres]:
    with like_supabase() as started:
        yield started


def test_setup_that_nobody_filled_in_changes_nothing(server: TcpPostgres) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="Choose a password"):
        set_up(server, "CHOOSE A PASSWORD")
    with database.connect(server.address()) as admin:
        made = admin.execute("select from pg_roles where rolname like 'docmill%'").fetchall()
    assert made == []


def test_docmill_migrates_and_works_with_the_role_that_setup_made(server: TcpPostgres) -> None:
    url = set_up(server, PASSWORD)
    docmill = Docmill(None, env={"DOCMILL_DATABASE_URL": url})
    document_id = docmill.upload("mill.txt", b"The miller weighed the barley.")
    docmill.completed(document_id)
    assert document_id in {hit["document_id"] for hit in docmill.search("barley")}
    doctor = Started("doctor", env={"DOCMILL_DATABASE_URL": url})
    assert doctor.wait() == 0, "\n".join(doctor.said)
    assert docmill.stop() == 0


@pytest.mark.parametrize("statement", OTHERS)
def test_that_role_can_do_nothing_else(server: TcpPostgres, statement: str) -> None:
    url = set_up(server, PASSWORD)
    with (
        database.connect(url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_running_setup_again_changes_the_passwords_of_all_its_roles(server: TcpPostgres) -> None:
    before = set_up(server, PASSWORD)
    after = set_up(server, LONG_PASSWORD)
    for role in (API_ROLE, WORKER_ROLE):
        database.connect(database.login_address(after, role)).close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            database.connect(database.login_address(before, role))
    migrated = Started("migrate", env={"DOCMILL_DATABASE_URL": after})
    assert migrated.wait() == 0, migrated.said


def test_admin_that_may_create_no_roles_is_told_of_setup(server: TcpPostgres) -> None:
    with database.connect(server.address(), autocommit=True) as admin:
        admin.execute("drop database if exists bare")
        admin.execute("create database bare")
        admin.execute("drop role if exists nobody_special")
        admin.execute("create role nobody_special login password 'x'")
    url = server.address(user="nobody_special", password="x", dbname="bare")
    migrated = Started("migrate", env={"DOCMILL_DATABASE_URL": url})
    assert migrated.wait() == 69
    assert "deploy/supabase/setup.sql" in migrated.said[-1]


def test_login_roles_keep_the_tenant_that_supabases_pooler_asks_for() -> None:
    pooled = (
        "postgresql://postgres.abcdef:secret@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"
    )
    assert f"user={API_ROLE}.abcdef " in database.login_address(pooled, API_ROLE)
    own = "postgresql://first.last:secret@db.example.com/postgres"
    assert f"user={API_ROLE} " in database.login_address(own, API_ROLE)
