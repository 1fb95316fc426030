"""What the stages keep of a document and read back; the statements are in `documents.sql`.

The writers run in the caller's transaction, after its fence (`job_queue.checkpoint` or `finish`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from docmill import events
from docmill.database import Row, Statements, Sync, WorkerDatabase
from docmill.errors import LeaseLost
from docmill.model import Chunk, Job, Notice, Page
from docmill.tsvectors import tsvector
from docmill.vectors import Numbers

STATEMENTS = Statements("documents")
PAGES_READ_AT_ONCE = 100
PARTS_READ_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Passage:
    """What is to be embedded: a passage's text, by its job and ordinal."""

    job: Job
    ordinal: int
    text: str


@dataclass(frozen=True, slots=True)
class Growth:
    """By how much a document's counts grow, and what else is known of it now.

    `pages`, `chunks` and `embedded` are added; the totals, the stage and the media type take their
    new values, and stay as they are where those are None.
    """

    job: Job
    pages: int = 0
    pages_total: int | None = None
    chunks: int = 0
    chunks_total: int | None = None
    embedded: int = 0
    stage: str | None = None
    media_type: str | None = None
    notices: Sequence[Notice] = ()


def advance(connection: Sync, growths: Sequence[Growth]) -> None:
    """Let documents' counts grow with what this transaction keeps; each document once.

    Raises:
        LeaseLost: one of them was cancelled, failed or deleted meanwhile.
    """
    if not growths:
        return
    grown = connection.execute(
        STATEMENTS.advance_documents,
        {
            **_generations([growth.job for growth in growths]),
            "pages": [growth.pages for growth in growths],
            "pages_totals": [growth.pages_total for growth in growths],
            "chunks": [growth.chunks for growth in growths],
            "chunks_totals": [growth.chunks_total for growth in growths],
            "embedded": [growth.embedded for growth in growths],
            "stages": [growth.stage for growth in growths],
            "media_types": [growth.media_type for growth in growths],
            "warnings": [
                Jsonb([notice.as_json() for notice in growth.notices]) for growth in growths
            ],
        },
    ).fetchall()
    if len(grown) < len(growths):
        raise LeaseLost


def complete(connection: Sync, jobs: Sequence[Job]) -> None:
    """End documents: what was made now serves, earlier generations go, and webhooks are told.

    Raises:
        LeaseLost: one of them was cancelled, failed or deleted meanwhile.
    """
    if not jobs:
        return
    rows = connection.execute(STATEMENTS.complete_documents, _generations(jobs)).fetchall()
    if len(rows) < len(jobs):
        raise LeaseLost
    events.announce_ends(connection, [job.document_id for job in jobs])
    for former in sorted({row["former"] for row in rows if row["former"]}):
        which = {"file_id": former}
        connection.execute(STATEMENTS.lock_file, which)
        connection.execute(STATEMENTS.free_file, which)
    for job in jobs:
        if job.generation > 1:
            connection.execute(STATEMENTS.drop_other_pages, _generation(job))
            connection.execute(STATEMENTS.drop_other_chunks, _generation(job))


def keep_pages(connection: Sync, found: Sequence[tuple[Job, Sequence[Page]]]) -> None:
    """Keep what parsing found in each document."""
    rows = [(job, page) for job, pages in found for page in pages]
    if rows:
        connection.execute(
            STATEMENTS.keep_pages,
            {
                **_owned([job for job, _ in rows]),
                "numbers": [page.number for _, page in rows],
                "texts": [page.text for _, page in rows],
            },
        )


def keep_chunks(connection: Sync, cut: Sequence[tuple[Job, Sequence[Chunk]]]) -> None:
    """Keep passages, with the words that full-text search finds them by."""
    rows = [(job, chunk) for job, chunks in cut for chunk in chunks]
    if rows:
        connection.execute(
            STATEMENTS.keep_chunks,
            {
                **_owned([job for job, _ in rows]),
                "ordinals": [chunk.ordinal for _, chunk in rows],
                "texts": [chunk.text for _, chunk in rows],
                "page_firsts": [chunk.page_first for _, chunk in rows],
                "page_lasts": [chunk.page_last for _, chunk in rows],
                "char_starts": [chunk.char_start for _, chunk in rows],
                "char_ends": [chunk.char_end for _, chunk in rows],
                "headings": [Jsonb(list(chunk.headings)) for _, chunk in rows],
                "words": [tsvector(chunk.text) for _, chunk in rows],
            },
        )


def keep_embeddings(
    connection: Sync, model_id: int, passages: Sequence[Passage], vectors: NDArray[np.float32]
) -> None:
    """Keep the vectors of passages, a row each. A zero vector points nowhere and is not kept."""
    somewhere: NDArray[np.bool_] = np.any(vectors, axis=1)
    kept = list(compress(passages, somewhere))
    if kept:
        connection.execute(
            STATEMENTS.keep_embeddings,
            {
                **_owned([passage.job for passage in kept]),
                "model_id": model_id,
                "ordinals": [passage.ordinal for passage in kept],
                "numbers": Numbers(vectors[somewhere]),
                "dimensions": vectors.shape[1],
            },
        )


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


def read_chunks(database: WorkerDatabase, job: Job, first: int, last: int) -> list[Passage]:
    """The document's chunks from `first` to `last`, both included."""
    with database.reading() as connection:
        rows = connection.execute(
            STATEMENTS.read_chunks, {**_generation(job), "first": first, "last": last}
        ).fetchall()
    return [Passage(job, row["ordinal"], row["text"]) for row in rows]


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


def read_small_files(
    database: WorkerDatabase, file_ids: Sequence[UUID]
) -> Iterator[tuple[UUID, bytes]]:
    """Ids and bytes of files of one part or a few, part by part in order."""
    with database.reading() as connection:
        rows = connection.execute(
            STATEMENTS.read_small_files, {"file_ids": list(file_ids)}, binary=True
        ).fetchall()
    yield from ((row["file_id"], row["data"]) for row in rows)


def find_model(database: WorkerDatabase, name: str) -> Row | None:
    """The row of an embedding model; None where `docmill migrate` never heard of it."""
    with database.reading() as connection:
        return connection.execute(STATEMENTS.find_model, {"name": name}).fetchone()


def _generation(job: Job) -> dict[str, object]:
    return {"document_id": job.document_id, "generation": job.generation}


def _owned(jobs: Sequence[Job]) -> dict[str, object]:
    """Whose rows they are, a job for each row."""
    return {"owner_ids": [job.owner_id for job in jobs], **_generations(jobs)}


def _generations(jobs: Sequence[Job]) -> dict[str, object]:
    return {
        "document_ids": [job.document_id for job in jobs],
        "generations": [job.generation for job in jobs],
    }
