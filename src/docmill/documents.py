"""What the stages keep of a document and read back; the statements are in `documents.sql`.

The writers run in the caller's transaction, after its fence (`job_queue.checkpoint` or `finish`).
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from docmill import events
from docmill.database import Row, Statements, Sync, WorkerDatabase
from docmill.errors import LeaseLost
from docmill.lexical import tsvector
from docmill.model import Chunk, Job, Notice, Page

STATEMENTS = Statements("documents")
PAGES_READ_AT_ONCE = 100
PARTS_READ_AT_ONCE = 4


def advance(
    connection: Sync,
    job: Job,
    *,
    pages: int = 0,
    pages_total: int | None = None,
    chunks: int = 0,
    chunks_total: int | None = None,
    embedded: int = 0,
    stage: str | None = None,
    media_type: str | None = None,
    notices: Sequence[Notice] = (),
) -> Row:
    """Let the document's counts grow with what this transaction keeps; returns the new counts.

    Raises:
        LeaseLost: the document was cancelled, failed or deleted meanwhile.
    """
    row = connection.execute(
        STATEMENTS.advance_document,
        {
            **_generation(job),
            "pages": pages,
            "pages_total": pages_total,
            "chunks": chunks,
            "chunks_total": chunks_total,
            "embedded": embedded,
            "stage": stage,
            "media_type": media_type,
            "warnings": Jsonb([notice.as_json() for notice in notices]),
        },
    ).fetchone()
    if row is None:
        raise LeaseLost
    return row


def complete(connection: Sync, job: Job) -> None:
    """End the document: this generation serves from now on, earlier ones go, and webhooks are told.

    Raises:
        LeaseLost: the document was cancelled, failed or deleted meanwhile.
    """
    row = connection.execute(STATEMENTS.complete_document, _generation(job)).fetchone()
    if row is None:
        raise LeaseLost
    events.announce_end(connection, job.document_id)
    if row["former"]:
        which = {"file_id": row["former"]}
        connection.execute(STATEMENTS.lock_file, which)
        connection.execute(STATEMENTS.free_file, which)
    if job.generation > 1:
        connection.execute(STATEMENTS.drop_other_pages, _generation(job))
        connection.execute(STATEMENTS.drop_other_chunks, _generation(job))


def keep_pages(connection: Sync, job: Job, pages: Sequence[Page]) -> None:
    """Keep what parsing found."""
    connection.execute(
        STATEMENTS.keep_pages,
        {
            **_owned(job),
            "numbers": [page.number for page in pages],
            "texts": [page.text for page in pages],
        },
    )


def keep_chunks(connection: Sync, job: Job, chunks: Sequence[Chunk]) -> None:
    """Keep passages, with the words that full-text search finds them by."""
    connection.execute(
        STATEMENTS.keep_chunks,
        {
            **_owned(job),
            "ordinals": [chunk.ordinal for chunk in chunks],
            "texts": [chunk.text for chunk in chunks],
            "page_firsts": [chunk.page_first for chunk in chunks],
            "page_lasts": [chunk.page_last for chunk in chunks],
            "char_starts": [chunk.char_start for chunk in chunks],
            "char_ends": [chunk.char_end for chunk in chunks],
            "headings": [Jsonb(list(chunk.headings)) for chunk in chunks],
            "words": [tsvector(chunk.text) for chunk in chunks],
        },
    )


def keep_embeddings(
    connection: Sync,
    job: Job,
    model_id: int,
    ordinals: Sequence[int],
    vectors: NDArray[np.float32],
) -> None:
    """Keep the vectors of these passages. A zero vector points nowhere and is not kept."""
    pointing = [
        (ordinal, vector) for ordinal, vector in zip(ordinals, vectors, strict=True) if vector.any()
    ]
    connection.execute(
        STATEMENTS.keep_embeddings,
        {
            **_owned(job),
            "model_id": model_id,
            "ordinals": [ordinal for ordinal, _ in pointing],
            "vectors": [vector_literal(vector) for _, vector in pointing],
        },
    )


def vector_literal(vector: NDArray[np.float32]) -> str:
    """A vector as pgvector reads it: `[0.1,0.2]`, with all the digits a float32 has."""
    return "[" + ",".join(f"{number:.9g}" for number in vector.tolist()) + "]"


def read_pages(database: WorkerDatabase, job: Job, *, after: int) -> Iterator[Page]:
    """The document's pages behind number `after`, a slice at a time and no transaction between."""
    while True:
        with database.reading() as connection:
            rows = connection.execute(
                STATEMENTS.read_pages,
                {**_generation(job), "after": after, "limit": PAGES_READ_AT_ONCE},
            ).fetchall()
        yield from (Page(row["number"], row["text"]) for row in rows)
        if len(rows) < PAGES_READ_AT_ONCE:
            return
        after = rows[-1]["number"]


def read_chunks(database: WorkerDatabase, job: Job, first: int, last: int) -> list[tuple[int, str]]:
    """Ordinal and text of the document's chunks from `first` to `last`, both included."""
    with database.reading() as connection:
        rows = connection.execute(
            STATEMENTS.read_chunks, {**_generation(job), "first": first, "last": last}
        ).fetchall()
    return [(row["ordinal"], row["text"]) for row in rows]


def read_file(database: WorkerDatabase, file_id: UUID) -> Iterator[bytes]:
    """A file's bytes in order, at most 1 MiB at a time."""
    position = 0
    while True:
        with database.reading() as connection:
            rows = connection.execute(
                STATEMENTS.read_file_parts,
                {"file_id": file_id, "position": position, "limit": PARTS_READ_AT_ONCE},
                binary=True,
            ).fetchall()
        yield from (row["data"] for row in rows)
        if len(rows) < PARTS_READ_AT_ONCE:
            return
        position = rows[-1]["position"] + len(rows[-1]["data"])


def find_model(database: WorkerDatabase, name: str) -> Row | None:
    """The row of an embedding model; None where `docmill migrate` never heard of it."""
    with database.reading() as connection:
        return connection.execute(STATEMENTS.find_model, {"name": name}).fetchone()


def _generation(job: Job) -> dict[str, object]:
    return {"document_id": job.document_id, "generation": job.generation}


def _owned(job: Job) -> dict[str, object]:
    return {"owner_id": job.owner_id, **_generation(job)}
