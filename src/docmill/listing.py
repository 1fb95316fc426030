"""An owner's documents as a list: filtered, sorted, counted, and read page by page.

A page begins behind the last row of the one before, by that row's sort key and id, so it costs the
same however far down it lies, and no row is shown twice because another one was added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from docmill.database import Async, Row, Statements
from docmill.lifecycle import DOCUMENT_STATES

STATEMENTS = Statements("listing")

# What a list is sorted by: an expression over a document `d`, and its type.
KEYS = {
    "created_at": ("d.created_at", "timestamptz"),
    "filename": ("lower(d.filename)", "text"),
    "size": ("(select f.size from files f where f.id = d.file_id)", "bigint"),
}
SORTS = tuple(sign + key for key in KEYS for sign in ("", "-"))
NEWEST_FIRST = "-created_at"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents: in one of these states (none named: in any), of a collection, by a text.

    `text` is a part of the file's name in any case, or a whole document id or external id.
    """

    statuses: tuple[str, ...] = ()
    collection: str | None = None
    text: str | None = None

    def parameters(self) -> dict[str, Any]:
        """What the statements of `listing.sql` take."""
        return {
            "statuses": list(self.statuses) or None,
            "collection": self.collection,
            "text": self.text,
            "pattern": None if self.text is None else _containing(self.text),
        }


def _containing(text: str) -> str:
    """A pattern of `like` that means the text itself, anywhere."""
    escaped = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


async def list_ids(
    connection: Async,
    wanted: Filter,
    sort: str,
    *,
    limit: int,
    place: Sequence[Any] | None = None,
) -> list[Row]:
    """`id` and `key` of documents behind a place in the list, which is such a key and id."""
    key, kind = KEYS[sort.removeprefix("-")]
    falling = sort.startswith("-")
    statement = sql.SQL(STATEMENTS.list_documents.decode()).format(
        key=sql.SQL(key),
        type=sql.SQL(kind),
        beyond=sql.SQL("<" if falling else ">"),
        direction=sql.SQL("desc" if falling else "asc"),
    )
    place_key, place_id = place or (None, None)
    cursor = await connection.execute(
        statement,
        {**wanted.parameters(), "place_key": place_key, "place_id": place_id, "limit": limit},
    )
    return await cursor.fetchall()


async def count(connection: Async, wanted: Filter) -> dict[str, int]:
    """How many documents are in each state, whatever states the filter names."""
    cursor = await connection.execute(STATEMENTS.count_documents, wanted.parameters())
    found = {row["status"]: int(row["documents"]) for row in await cursor.fetchall()}
    return {state: found.get(state, 0) for state in DOCUMENT_STATES}


async def list_collections(connection: Async, *, after: str | None, limit: int) -> list[Row]:
    """Collections by name, each with the number of its documents."""
    cursor = await connection.execute(STATEMENTS.list_collections, {"after": after, "limit": limit})
    return await cursor.fetchall()
