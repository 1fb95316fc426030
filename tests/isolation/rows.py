"""Take down all rows of the database, and put them back as they were, as often as wanted."""

from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from docmill.database import Sync

# What `docmill migrate` writes and no operation changes.
CONSTANT = ["schema_migrations", "embedding_models"]


class Rows:
    """The rows of all tables at one moment."""

    def __init__(self, admin: Sync) -> None:
        self._admin = admin
        tables = admin.execute(
            """select relname as name from pg_class where relkind = 'r'
               and relnamespace = 'docmill'::regnamespace and relname <> all(%s)""",
            [CONSTANT],
        ).fetchall()
        kept = {table["name"]: _read(admin, table["name"]) for table in tables}
        # As a replica: the order of the tables does not matter, for no foreign key is looked at.
        script: list[sql.Composable] = [
            sql.SQL("begin; set local session_replication_role = replica")
        ]
        script += [sql.SQL("delete from {}").format(sql.Identifier(table)) for table in kept]
        script += [_put_back(table, rows) for table, rows in kept.items() if rows]
        self._script = sql.SQL("; ").join([*script, sql.SQL("commit")]).as_bytes(admin)

    def restore(self) -> None:
        """Make the database what it was."""
        self._admin.execute(self._script)


def _read(admin: Sync, table: str) -> list[Any]:
    query = sql.SQL("select to_jsonb(t) as row from {} t").format(sql.Identifier(table))
    return [row["row"] for row in admin.execute(query)]


def _put_back(table: str, rows: list[Any]) -> sql.Composed:
    return sql.SQL(
        "insert into {0} overriding system value"
        " select * from jsonb_populate_recordset(null::{0}, {1})"
    ).format(sql.Identifier(table), sql.Literal(Jsonb(rows)))
