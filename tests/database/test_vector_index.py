"""The vector index holds what large owners have, and nothing that a small owner has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import numpy as np
import pytest

import made_rows
from docmill import database, documents, vector_index
from docmill.database import Addresses, Sync
from docmill.documents import Passage
from docmill.embed_static import DIMENSIONS, NAME
from docmill.model import Chunk, Job

ANOTHER = UUID("00000000-0000-4000-8000-0000000000ff")


def come(admin: Sync, worker: Sync, owner: UUID, passages: int) -> Job:
    """A document of so many passages with their vectors, kept as the embed stage keeps them."""
    made_rows.uploaded(admin, owner)
    job = made_rows.claimed(worker)
    row = admin.execute("select id from embedding_models where name = %s", [NAME]).fetchone()
    assert row is not None
    cut = [Chunk(place, f"passage {place}", 1, 1, 0, 5, ()) for place in range(passages)]
    kept = [Passage(job, chunk.ordinal, chunk.text) for chunk in cut]
    with worker.transaction():
        documents.keep_chunks(worker, [(job, cut)])
        documents.keep_embeddings(worker, row["id"], kept, np.ones((passages, DIMENSIONS), "f4"))
    return job


def indexed(admin: Sync) -> dict[UUID, tuple[int, int]]:
    """Of each owner's vectors, how many are in the index and how many are not."""
    rows = admin.execute(
        "select owner_id, count(*) filter (where indexed) as in_it,"
        " count(*) filter (where not indexed) as beside from embeddings group by owner_id"
    )
    return {row["owner_id"]: (row["in_it"], row["beside"]) for row in rows}


def counts(admin: Sync) -> list[dict[str, Any]]:
    return admin.execute(
        "select owner_id, vectors from vectors_come order by owner_id, vectors"
    ).fetchall()


def test_an_owner_who_becomes_large_has_all_vectors_indexed_and_a_small_one_none(
    admin: Sync, worker_connection: Sync
) -> None:
    for owner, passages in ((made_rows.OWNER, 3), (ANOTHER, 3), (made_rows.OWNER, 4)):
        come(admin, worker_connection, owner, passages)
    vector_index.note_large_owners(worker_connection, few=7)
    assert vector_index.index_some(worker_connection) == 0
    assert indexed(admin) == {made_rows.OWNER: (0, 7), ANOTHER: (0, 3)}
    assert counts(admin) == [
        {"owner_id": made_rows.OWNER, "vectors": 7},
        {"owner_id": ANOTHER, "vectors": 3},
    ]
    come(admin, worker_connection, made_rows.OWNER, 1)
    vector_index.note_large_owners(worker_connection, few=7)
    come(admin, worker_connection, made_rows.OWNER, 2)
    assert indexed(admin) == {made_rows.OWNER: (2, 8), ANOTHER: (0, 3)}
    assert counts(admin) == [{"owner_id": ANOTHER, "vectors": 3}]
    assert vector_index.index_some(worker_connection, some=5) == 5
    assert vector_index.index_some(worker_connection, some=5) == 3
    assert vector_index.index_some(worker_connection, some=5) == 0
    assert indexed(admin) == {made_rows.OWNER: (10, 0), ANOTHER: (0, 3)}


def test_counts_that_come_while_others_are_summed_up_are_neither_lost_nor_doubled(
    admin: Sync, addresses: Addresses, worker_connection: Sync
) -> None:
    for _ in range(2):
        come(admin, worker_connection, made_rows.OWNER, 2)
    with database.connect(addresses.worker) as first:
        vector_index.note_large_owners(first, few=100)
        come(admin, worker_connection, made_rows.OWNER, 5)
        first.commit()
    vector_index.note_large_owners(worker_connection, few=100)
    assert counts(admin) == [{"owner_id": made_rows.OWNER, "vectors": 9}]


@contextmanager
def locked(addresses: Addresses, statement: bytes) -> Iterator[None]:
    with database.connect(addresses.worker) as other:
        other.execute(statement)
        yield
        other.rollback()


@pytest.mark.parametrize(
    "statement",
    [b"update embeddings set indexed = true where ordinal < 2", b"delete from documents"],
    ids=["another worker does the same", "the document is being deleted"],
)
def test_vectors_that_somebody_holds_are_left_for_the_next_time(
    admin: Sync, addresses: Addresses, worker_connection: Sync, statement: bytes
) -> None:
    come(admin, worker_connection, made_rows.OWNER, 4)
    vector_index.note_large_owners(worker_connection, few=1)
    admin.execute("insert into large_owners (owner_id) values (%s) on conflict do nothing",
                  [made_rows.OWNER])  # fmt: skip
    with locked(addresses, statement):
        assert vector_index.index_some(worker_connection) == (2 if b"ordinal" in statement else 0)
    vector_index.index_some(worker_connection)
    assert indexed(admin) == {made_rows.OWNER: (4, 0)}
