"""The PostgreSQL that all sides share: docmill's embedded one, with a database for each of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from psycopg.conninfo import make_conninfo

from docmill import database, embedded_postgres, migrate
from docmill.embed_static import DIMENSIONS, NAME
from docmill.migrate import EmbeddingModel

STATIC = EmbeddingModel(NAME, DIMENSIONS)


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of a server that runs as `docmill serve` would run it."""
    with embedded_postgres.start(folder) as server:
        yield server.admin_url


@contextmanager
def empty(server: str, name: str = "bench") -> Iterator[str]:
    """The address of a new database, gone at the end of the block.

    What earlier rounds have dirtied is written first, so that it is no part of this one.
    """
    unique = f"{name}_{uuid4().hex[:8]}"
    with database.connect(server, autocommit=True) as admin:
        admin.execute(f"create database {unique}".encode())
        admin.execute(b"checkpoint")
        try:
            yield make_conninfo(server, dbname=unique)
        finally:
            admin.execute(f"drop database {unique} with (force)".encode())


@contextmanager
def migrated(server: str, name: str = "bench", model: EmbeddingModel = STATIC) -> Iterator[str]:
    """The address of a new database with docmill's schema and no rows."""
    with empty(server, name) as url:
        migrate.migrate(url, model)
        yield url


@contextmanager
def bare_connection(url: str, *, autocommit: bool = True) -> Iterator[database.Sync]:
    """As a bare program connects: as the admin, with docmill's tables in the path."""
    with database.connect(url, autocommit=autocommit) as connection:
        connection.execute(b"set search_path = docmill, extensions, public")
        connection.commit()
        connection.prepare_threshold = 2
        yield connection
