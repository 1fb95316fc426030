"""Bring the database to this version's schema.

Each migration is one transaction under one advisory lock, so any number of processes may start at
once: one migrates, the others wait and find nothing left to do. The lock ends with the transaction,
so it holds behind a transaction pooler as well.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import psycopg
from psycopg import sql

from docmill import failpoint, vector_index
from docmill.database import API_ROLE, WORKER_ROLE, Sync, connect, derived_password
from docmill.database_trouble import explain
from docmill.errors import Unavailable
from docmill.failpoint import MigrationCommit

LOCK = 0x646F636D696C6C  # "docmill"
OLDEST_POSTGRES = 15
OLDEST_VECTOR = (0, 8)  # it goes on behind a filter (hnsw.iterative_scan)
MAY_MAKE_ROLES = b"""select current_user as role, rolsuper or rolcreaterole as may_make_roles,
                           to_regclass('docmill.schema_migrations') is not null as is_set_up
                    from pg_roles where rolname = current_user"""
# Roles belong to the whole server, our lock to one database of it: what two databases of one server
# that are migrated at the same moment do to each other. Then it is tried again.
ROLE_TRIES = 10
SAME_ROLES_ELSEWHERE = (
    psycopg.errors.DuplicateObject,
    psycopg.errors.UniqueViolation,
    psycopg.errors.InternalError_,  # "tuple concurrently updated"
)
# A migration and those who work meanwhile may each wait for a table that the other has.
DEADLOCK_TRIES = 10
FILE_NAME = re.compile(r"^(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql$")
# In a migration that takes away what older code uses: `-- oldest code: 7` lets a docmill whose
# newest migration is 0007 go on, and stops those before it.
OLDEST_CODE = re.compile(r"^-- oldest code: (\d+)$", re.MULTILINE)
FITNESS = """select coalesce(max(version), 0) as version,
                    coalesce(max(oldest_code), 0) as oldest_code
             from docmill.schema_migrations"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step of the schema."""

    version: int
    name: str
    statements: str

    @property
    def oldest_code(self) -> int:
        """The newest migration that code must know to work on what this one leaves; 0: any."""
        said = OLDEST_CODE.search(self.statements)
        return int(said[1]) if said else 0


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model whose vectors can be kept: it has a row, and an index for its dimension."""

    name: str
    dimensions: int


def migrations() -> list[Migration]:
    """All migrations of this version, in order."""
    found = []
    for file in files("docmill").joinpath("migrations").iterdir():
        if match := FILE_NAME.match(file.name):
            text = file.read_text(encoding="utf-8")
            found.append(Migration(int(match["version"]), match["name"], text))
    return sorted(found, key=lambda migration: migration.version)


@cache
def newest_version() -> int:
    """The schema version that this code is written for."""
    return migrations()[-1].version


def migrate(admin: str, model: EmbeddingModel) -> list[str]:
    """Create roles, apply what is missing, make room for the model's vectors.

    Args:
        admin: address of a role that may create roles, schemas and extensions.
        model: the model that vectors will be kept of.

    Returns:
        The names of the migrations that this call applied; often none.

    Raises:
        Unavailable: the server is too old, lacks pgvector or refuses the admin.
    """
    try:
        with connect(admin) as connection:
            return _migrate(connection, admin, model)
    except psycopg.OperationalError as error:
        trouble = explain(error)
        raise Unavailable(
            f"The database can't be reached: {trouble.what}. {trouble.remedy}"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise Unavailable(
            f"The database refuses to be set up: {str(error).strip()}. DOCMILL_DATABASE_URL needs"
            " a role that may create roles, schemas and extensions."
        ) from error
    except psycopg.errors.UndefinedObject as error:
        raise Unavailable(
            f"The database is not set up for this version: {str(error).strip()}. Run"
            " deploy/supabase/setup.sql again, or let a role migrate that may create roles."
        ) from error
    except (psycopg.errors.UndefinedFile, psycopg.errors.FeatureNotSupported) as error:
        trouble = explain(error)
        raise Unavailable(f"The database is not fit: {trouble.what}. {trouble.remedy}") from error


def make_roles(admin: str) -> None:
    """Create the roles and the extension in a database without docmill, and no schema.

    That comes with a backup.
    """
    with connect(admin) as connection:
        _create_roles(connection, admin)
        with _locked(connection, "create_roles"):
            if applied_version(connection):
                raise Unavailable("Somebody sets up this database just now. Restore into another.")
            connection.execute("drop schema docmill cascade")  # one empty table


def _migrate(connection: Sync, admin: str, model: EmbeddingModel) -> list[str]:
    if connection.info.server_version // 10_000 < OLDEST_POSTGRES:
        raise Unavailable(too_old(connection.info.server_version))
    _set_up_roles(connection, admin)
    _check_vector(connection)
    applied = [migration.name for migration in migrations() if _apply(connection, migration)]
    with _locked(connection, "make_room_for_model"):
        _make_room_for(connection, model)
    with _locked(connection, "drop_old_indexes"):
        _drop_old_vector_indexes(connection)
    return applied


def too_old(server_version: int) -> str:
    """Why a server of this version won't do, in a sentence."""
    return (
        f"The database is PostgreSQL {server_version // 10_000}; docmill needs {OLDEST_POSTGRES} or"
        " later."
    )


def vector_unfitness(version: str) -> str | None:
    """Why this version of pgvector won't do, in a sentence; None where it will."""
    if tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_VECTOR:
        return None
    return (
        f"The database has pgvector {version}; docmill needs {'.'.join(map(str, OLDEST_VECTOR))} or"
        " later. Install it beside the server, then run `alter extension vector update`."
    )


def _set_up_roles(connection: Sync, admin: str) -> None:
    """Make what `roles.sql` makes, where the admin may; else somebody has done so before."""
    row = connection.execute(MAY_MAKE_ROLES).fetchone() or {}
    if not row["may_make_roles"]:
        if row["is_set_up"]:
            return
        raise Unavailable(
            f"The role {row['role']} may not create roles, and docmill's are not there. Run"
            " deploy/supabase/setup.sql as a role that may, or let that one migrate."
        )
    for _ in range(ROLE_TRIES - 1):
        with suppress(*SAME_ROLES_ELSEWHERE):
            _create_roles(connection, admin)
            return
    _create_roles(connection, admin)


def _check_vector(connection: Sync) -> None:
    with connection.transaction():
        row = connection.execute(
            "select extversion as version from pg_extension where extname = 'vector'"
        ).fetchone()
    if row is None:
        raise Unavailable("The database has no pgvector. Enable the extension `vector`.")
    if reason := vector_unfitness(row["version"]):
        raise Unavailable(reason)


@contextmanager
def _locked(connection: Sync, name: MigrationCommit) -> Iterator[None]:
    """One transaction under the lock."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        yield
        failpoint.reach(name, "before")
    failpoint.reach(name, "after")


def _create_roles(connection: Sync, admin: str) -> None:
    roles = files("docmill").joinpath("migrations", "roles.sql").read_text(encoding="utf-8")
    with _locked(connection, "create_roles"):
        connection.execute(roles.encode())
        for role in (API_ROLE, WORKER_ROLE):
            if password := derived_password(admin, role):
                _set_password(connection, role, password)


def _set_password(connection: Sync, role: str, password: str) -> None:
    """Hashed here, so that the password itself never travels or reaches a server log."""
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier))
    )


def _apply(connection: Sync, migration: Migration) -> bool:
    """Apply a migration, unless that is done; again, where it was given up for others' work."""
    for _ in range(DEADLOCK_TRIES - 1):
        with suppress(psycopg.errors.DeadlockDetected):
            return _apply_unless_done(connection, migration)
    return _apply_unless_done(connection, migration)


def _apply_unless_done(connection: Sync, migration: Migration) -> bool:
    with _locked(connection, "apply_migration"):
        done = connection.execute(
            "select 1 from docmill.schema_migrations where version = %s", [migration.version]
        ).fetchone()
        if done:
            return False
        _become_owner(connection)
        connection.execute(migration.statements.encode())
        connection.execute(
            "insert into docmill.schema_migrations (version, name, oldest_code)"
            " values (%s, %s, %s)",
            [migration.version, migration.name, migration.oldest_code],
        )
        return True


def _become_owner(connection: Sync) -> None:
    """Act as the tables' owner until the end of the transaction."""
    connection.execute("set local role docmill_owner")
    connection.execute(
        """select set_config('search_path', 'docmill, ' || quote_ident(n.nspname), true)
           from pg_extension e join pg_namespace n on n.oid = e.extnamespace
           where e.extname = 'vector'"""
    )


def _make_room_for(connection: Sync, model: EmbeddingModel) -> None:
    """Give the model its row and its vector index, unless it has them."""
    _become_owner(connection)
    connection.execute(
        "insert into embedding_models (name, dimensions) select %(name)s, %(dimensions)s"
        " where not exists (select from embedding_models where name = %(name)s)",
        {"name": model.name, "dimensions": model.dimensions},
    )
    row = connection.execute(
        "select id, dimensions, to_regclass('vectors_of_model_' || id) as index"
        " from embedding_models where name = %s",
        [model.name],
    ).fetchone()
    if row is None or row["dimensions"] != model.dimensions:
        raise Unavailable(
            f"The embedder {model.name} has {model.dimensions} dimensions, but vectors of"
            f" {row and row['dimensions']} are kept under this name. Give the model another name."
        )
    if row["index"] is None:
        _create_vector_index(connection, row["id"], model.dimensions)


def _create_vector_index(connection: Sync, model_id: int, dimensions: int) -> None:
    connection.execute(
        sql.SQL(
            "create index {name} on embeddings using hnsw"
            " ((embedding::vector({dimensions})) vector_cosine_ops)"
            " where model_id = {id} and indexed"
        ).format(
            name=sql.Identifier(vector_index.name_of(model_id)),
            dimensions=sql.Literal(dimensions),
            id=sql.Literal(model_id),
        )
    )


def _drop_old_vector_indexes(connection: Sync) -> None:
    """Drop what versions before migration 0018 made: indexes of every owner's vectors.

    When the new one is there, and in a transaction of its own, so that searches never wait for it.
    """
    _become_owner(connection)
    rows = connection.execute(
        "select id from embedding_models"
        " where to_regclass('embeddings_of_model_' || id) is not null"
    ).fetchall()
    for row in rows:
        name = sql.Identifier(f"embeddings_of_model_{row['id']}")
        connection.execute(sql.SQL("drop index {}").format(name))


def applied_version(connection: Sync) -> int:
    """The schema version of the database; 0 where docmill never was."""
    return _fitness(connection)[0]


def why_unfit(connection: Sync) -> str | None:
    """Why this docmill can't work on the database's schema, in a sentence; None where it can."""
    return unfitness(*_fitness(connection))


def unfitness(version: int, oldest_code: int) -> str | None:
    """As `why_unfit`, from what the query `FITNESS` gives."""
    newest = newest_version()
    if version < newest:
        return (
            f"The database's schema is version {version}, this docmill needs {newest}. Run"
            " `docmill migrate` with DOCMILL_DATABASE_URL set."
        )
    if oldest_code > newest:
        return (
            f"The database's schema is version {version}, which needs a docmill that knows version"
            f" {oldest_code}; this one knows {newest}. Upgrade docmill here."
        )
    return None


def _fitness(connection: Sync) -> tuple[int, int]:
    try:
        row = connection.execute(FITNESS.encode()).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        row = None
    return (row["version"], row["oldest_code"]) if row else (0, 0)
