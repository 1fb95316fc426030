"""A PostgreSQL whose admin has what Supabase gives its `postgres`, and no more.

By Supabase's own migrations: no superuser, but CREATEDB, CREATEROLE, REPLICATION and BYPASSRLS; all
on the database, the schema `extensions` its own, and the roles that its API uses beside it. There,
an extension of the server's makes `vector` for an admin who may not; here, the superuser does.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from docmill import database
from tcp_postgres import PASSWORD, TcpPostgres, tcp_postgres

SETUP = Path(__file__).parent.parent / "deploy" / "supabase" / "setup.sql"
BEFORE = f"""
    create role postgres login password '{PASSWORD}'
      nosuperuser createdb createrole replication bypassrls;
    create role anon nologin noinherit;
    create role authenticated nologin noinherit;
    create role service_role nologin noinherit bypassrls;
    grant all on database postgres to postgres;
    create schema extensions authorization postgres;
    grant usage on schema extensions to postgres, anon, authenticated, service_role;
    create schema auth;
    create table auth.users (id uuid primary key, email text);
    grant all on schema auth to postgres;
    grant all on all tables in schema auth to postgres;
    create extension vector with schema extensions;
"""


@contextlib.contextmanager
def like_supabase() -> Iterator[TcpPostgres]:
    """A server of which `supabase_admin` is the superuser, and `postgres` whom a user gets."""
    with tcp_postgres(superuser="supabase_admin") as server:
        with database.connect(server.address(), autocommit=True) as admin:
            admin.execute(BEFORE.encode())
        yield server


def set_up(server: TcpPostgres, password: str) -> str:
    """Run setup.sql as a user does; the address that docmill then has."""
    script = SETUP.read_text(encoding="utf-8").replace("CHOOSE A PASSWORD", password)
    with database.connect(server.address(user="postgres"), autocommit=True) as connection:
        connection.execute(script.encode())
    return server.address(user="docmill_admin", password=password)
