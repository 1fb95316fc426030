"""What PostgreSQL itself asks to check references, as its `ri_triggers.c` asks.

A session plans each of these once, and keeps that.
"""

from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from docmill.database import Sync

KEYS = """
select conname::text as name, child::text, parent::text, refers.columns, refers.types,
       key.columns as key
from (select conname, conrelid, confrelid, conkey, confkey,
             conrelid::regclass as child, confrelid::regclass as parent
      from pg_constraint where contype = 'f' and connamespace = 'docmill'::regnamespace) c
cross join lateral (
  select array_agg(attname::text order by place) as columns,
         array_agg(format_type(atttypid, atttypmod) order by place) as types
  from unnest(conkey) with ordinality k (number, place)
  join pg_attribute on attrelid = conrelid and attnum = number) refers
cross join lateral (
  select array_agg(attname::text order by place) as columns
  from unnest(confkey) with ordinality k (number, place)
  join pg_attribute on attrelid = confrelid and attnum = number) key
"""
# Nobody deletes a model while it has vectors: all of them refer to it.
KEPT_FOR_GOOD = "embedding_models"


@dataclass(frozen=True, slots=True)
class Check:
    """A question about a table's rows, by its name, for the values of a row that refers."""

    name: str
    table: str
    columns: list[str]
    types: list[str]
    child: str
    refers: list[str]

    def prepare(self, connection: Sync) -> None:
        """Have the session plan it, for all values, as the database is now."""
        places = enumerate(self.columns, start=1)
        asked = " and ".join(f"{column} = ${place}" for place, column in places)
        connection.execute(
            f'prepare "{self.name}" ({", ".join(self.types)}) as'
            f" select 1 from only {self.table} x where {asked} for key share of x".encode()
        )
        self.execute(connection, [None] * len(self.columns))

    def execute(self, connection: Sync, values: list[object]) -> int:
        """Ask it; the number of rows."""
        told = sql.SQL(", ").join(map(sql.Literal, values))
        return connection.execute(
            sql.SQL("execute {}({})").format(sql.Identifier(self.name), told)
        ).rowcount

    def one_that_refers(self, connection: Sync, owner: UUID) -> list[object] | None:
        """The values of a row of the owner's that refers to another; None without such a row."""
        known = " and ".join(f"{column} is not null" for column in self.refers)
        row = connection.execute(
            f"select {', '.join(self.refers)} from {self.child}"
            f" where owner_id = %s and {known} limit 1".encode(),
            [owner],
        ).fetchone()
        return list(row.values()) if row else None


def checks(connection: Sync) -> list[Check]:
    """All of them: whether what a new row refers to is there, and which rows refer to one."""
    found = []
    for key in connection.execute(KEYS).fetchall():
        of = (key["types"], key["child"], key["columns"])
        found.append(Check(f"{key['name']}: exists", key["parent"], key["key"], *of))
        if key["parent"] != KEPT_FOR_GOOD:
            found.append(Check(f"{key['name']}: referred to", key["child"], key["columns"], *of))
    return found
