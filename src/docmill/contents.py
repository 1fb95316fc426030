"""What a document holds, for whoever owns it: bytes, pages, passages and the audit trail."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from docmill.database import ApiDatabase, Async, Row, Statements

STATEMENTS = Statements("contents")

# How much of a page is shown at once: most pages are shorter, a text file of 50 MB is one page.
LEAF_CHARACTERS = 20_000
LAST_CHARACTER = 2**62
NO_LEAF: dict[str, Any] = {
    "page": None,
    "pages": 0,
    "characters": 0,
    "char_start": 0,
    "char_end": 0,
    "text": "",
    "previous_at": None,
    "next_at": None,
}


async def find_file(connection: Async, document_id: UUID) -> Row | None:
    """File name, type, size and hash of a document's bytes; None where there is no document."""
    cursor = await connection.execute(STATEMENTS.find_file, {"document_id": document_id})
    return await cursor.fetchone()


async def find_details(connection: Async, document_id: UUID) -> dict[str, Any] | None:
    """What was said about a document at its upload; None where there is no document."""
    cursor = await connection.execute(STATEMENTS.find_details, {"document_id": document_id})
    row = await cursor.fetchone()
    return dict(row) if row else None


async def read_slice(connection: Async, file_id: UUID, first: int, last: int) -> list[bytes]:
    """A file's bytes from `first` on, as many as are read at once; none where the file is gone."""
    cursor = await connection.execute(
        STATEMENTS.read_bytes, {"file_id": file_id, "first": first, "last": last}, binary=True
    )
    pieces = []
    for row in await cursor.fetchall():
        start, end = first - row["position"], last + 1 - row["position"]
        if piece := row["data"][max(0, start) : end]:
            first += len(piece)
            pieces.append(piece)
    return pieces


async def stream_bytes(
    database: ApiDatabase, owner: UUID, file_id: UUID, first: int, last: int, *, begun: list[bytes]
) -> AsyncIterator[bytes]:
    """A file's bytes from `first` to `last`, both included, of which a first slice is read.

    With little memory and no long transaction: a slow reader holds no connection between slices.
    Ends too soon where the file goes while it is read.
    """
    pieces = begun
    while pieces:
        for piece in pieces:
            first += len(piece)
            yield piece
        if first > last:
            return
        async with database.reading(owner) as connection:
            pieces = await read_slice(connection, file_id, first, last)


async def list_pages(
    connection: Async, document_id: UUID, *, after: int, limit: int
) -> list[Row] | None:
    """Pages behind a number; None where there is no document."""
    return await _list(connection, STATEMENTS.list_pages, document_id, after, limit)


async def list_chunks(
    connection: Async, document_id: UUID, *, after: int, limit: int
) -> list[Row] | None:
    """Passages behind an ordinal; None where there is no document."""
    return await _list(connection, STATEMENTS.list_chunks, document_id, after, limit)


async def read_leaf(
    connection: Async, document_id: UUID, *, page: int | None, at: int
) -> dict[str, Any] | None:
    """The text at a page or a character, with the passages in it; None where there is no document.

    The members are those of `read_leaf`, `generation` and `chunks`. A document without pages has an
    empty leaf.
    """
    generation = await _shown_generation(connection, document_id)
    if generation is None:
        return None
    which = {"document_id": document_id, "generation": generation}
    place = {
        "page": page,
        "at": LAST_CHARACTER if page is not None else at,
        "size": LEAF_CHARACTERS,
    }
    cursor = await connection.execute(STATEMENTS.read_leaf, {**which, **place})
    leaf = await cursor.fetchone() or NO_LEAF
    cursor = await connection.execute(
        STATEMENTS.list_chunks_within,
        {**which, "char_start": leaf["char_start"], "char_end": leaf["char_end"]},
    )
    return {"generation": generation, **leaf, "chunks": await cursor.fetchall()}


async def list_jobs(connection: Async, document_id: UUID) -> list[dict[str, Any]]:
    """Every job of a document with every attempt, lease tokens left out."""
    cursor = await connection.execute(STATEMENTS.list_jobs, {"document_id": document_id})
    return [dict(row) for row in await cursor.fetchall()]


async def _list(
    connection: Async, statement: bytes, document_id: UUID, after: int, limit: int
) -> list[Row] | None:
    generation = await _shown_generation(connection, document_id)
    if generation is None:
        return None
    cursor = await connection.execute(
        statement,
        {
            "document_id": document_id,
            "generation": generation,
            "after": after,
            "limit": limit,
        },
    )
    return await cursor.fetchall()


async def _shown_generation(connection: Async, document_id: UUID) -> int | None:
    cursor = await connection.execute(STATEMENTS.shown_generation, {"document_id": document_id})
    row = await cursor.fetchone()
    return int(row["generation"]) if row else None
