"""Databases of a test's own on the server that all tests share, dropped at the end."""

import contextlib
import functools
import threading
from collections.abc import Iterator
from uuid import uuid4

from psycopg.conninfo import make_conninfo

from docmill import database, migrate
from docmill.migrate import EmbeddingModel

_making = threading.Lock()


@contextlib.contextmanager
def fresh_database(admin_url: str, template: str = "template1") -> Iterator[str]:
    """The address of a database that docmill never saw, or of a copy of another one."""
    name = f"fresh_{uuid4().hex}"
    with database.connect(admin_url, autocommit=True) as server:
        server.execute(f"create database {name} template {template}".encode())
        try:
            yield make_conninfo(admin_url, dbname=name)
        finally:
            server.execute(f"drop database {name} with (force)".encode())


@contextlib.contextmanager
def migrated_database(admin_url: str, model: EmbeddingModel) -> Iterator[str]:
    """The address of a database with docmill's schema and no rows.

    A copy takes a tenth of the time that migrating takes, and there are hundreds of them. What
    roles are set to in a database is not copied with it: that the migration of a copy adds.
    """
    with _making:
        template = _template(admin_url, model)
    with fresh_database(admin_url, template) as url:
        migrate.migrate(url, model)
        yield url


@functools.cache
def _template(admin_url: str, model: EmbeddingModel) -> str:
    name = f"template_{uuid4().hex}"
    with database.connect(admin_url, autocommit=True) as server:
        server.execute(f"create database {name}".encode())
    migrate.migrate(make_conninfo(admin_url, dbname=name), model)
    return name
