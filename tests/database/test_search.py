"""Search finds the same by either way, and nobody else's, whatever the planner makes of it."""

import asyncio
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

import made_rows
from docmill import search
from docmill.database import Addresses, ApiDatabase, Sync
from docmill.embed_static import DIMENSIONS, NAME
from docmill.search import Query, Search
from docmill.tsvectors import tsvector
from docmill.vectors import vector_literal

ANOTHER = UUID("00000000-0000-4000-8000-0000000000ff")
PASSAGES = 30
# A document that says it has so many is not one whose passages are all looked at.
MANY = 1_000_000

Vectors = NDArray[np.float32]


def vectors(seed: int) -> Vectors:
    """One per passage, of length 1."""
    drawn = np.random.default_rng(seed).normal(size=(PASSAGES, DIMENSIONS))
    of_length_1: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return of_length_1


def searchable(
    admin: Sync, owner: UUID, seed: int, *, collection: str | None = None, kind: str = "note"
) -> UUID:
    """A completed document; each passage has the word `shared` and a number of its own."""
    made = made_rows.uploaded(admin, owner)
    admin.execute("delete from processing_jobs where document_id = %s", [made.document_id])
    told: dict[str, Any] = {
        "id": made.document_id,
        "owner": owner,
        "kind": kind,
        "name": collection,
    }
    admin.execute(
        """
        insert into collections (owner_id, name)
        select %(owner)s, %(name)s where %(name)s::text is not null on conflict do nothing""",
        told,
    )
    admin.execute(
        """
        update documents set serving = 1, served_file_id = file_id, served_filename = filename,
          chunks_total = 30, metadata = jsonb_build_object('kind', %(kind)s::text),
          collection_id = (select id from collections
                           where owner_id = %(owner)s and name = %(name)s)
        where id = %(id)s""",
        told,
    )
    for ordinal, vector in enumerate(vectors(seed)):
        text = f"shared number{ordinal} of{seed}"
        passage = {**told, "ordinal": ordinal, "text": text, "words": tsvector(text)}
        admin.execute(
            """
            insert into chunks (owner_id, document_id, generation, ordinal, text, page_first,
                                page_last, char_start, char_end, words)
            values (%(owner)s, %(id)s, 1, %(ordinal)s, %(text)s, 1, 1, 0, 5,
                    %(words)s)""",
            passage,
        )
        admin.execute(
            """
            insert into embeddings (owner_id, document_id, generation, ordinal, model_id, embedding)
            select %(owner)s, %(id)s, 1, %(ordinal)s, id, %(vector)s::vector
            from embedding_models where name = %(model)s""",
            {**passage, "model": NAME, "vector": vector_literal(vector)},
        )
    return made.document_id


def found(addresses: Addresses, query: Query) -> list[dict[str, Any]]:
    """The hits, as the API finds them."""

    async def find() -> list[dict[str, Any]]:
        database = ApiDatabase(addresses.api)
        await database.open()
        try:
            return await Search(database, NAME).find(query)
        finally:
            await database.close()

    return asyncio.run(find())


def chunks_of(hits: list[dict[str, Any]]) -> list[str]:
    return [hit["chunk_id"] for hit in hits]


def test_the_index_of_vectors_finds_what_looking_at_all_of_them_finds(
    addresses: Addresses, admin: Sync
) -> None:
    wanted = vectors(3)[0]
    mine = searchable(admin, made_rows.OWNER, 1)
    searchable(admin, ANOTHER, 2)
    query = Query(made_rows.OWNER, "", mode="vector", limit=100, vector=wanted)
    order = np.argsort(-(vectors(1) @ wanted))
    true = [search.chunk_id(mine, 1, place) for place in order.tolist()]
    assert chunks_of(found(addresses, query)) == true
    admin.execute("update documents set chunks_total = %s", [MANY])
    for indexed in ("false", "ordinal %% 3 = 0", "true"):
        admin.execute(f"update embeddings set indexed = {indexed}".encode(), [])
        assert chunks_of(found(addresses, query)) == true, indexed


def test_of_many_passages_some_indexed_the_nearest_are_found_and_no_more_than_asked_for(
    addresses: Addresses, admin: Sync
) -> None:
    wanted = vectors(3)[0]
    mine = searchable(admin, made_rows.OWNER, 1)
    more = searchable(admin, made_rows.OWNER, 4)
    admin.execute("update documents set chunks_total = %s", [MANY])
    admin.execute("update embeddings set indexed = ordinal %% 2 = 0", [])
    near = {
        search.chunk_id(document, 1, place): float(vectors(seed)[place] @ wanted)
        for document, seed in ((mine, 1), (more, 4))
        for place in range(PASSAGES)
    }
    true = sorted(near, key=lambda name: -near[name])
    query = Query(made_rows.OWNER, "", mode="vector", limit=7, vector=wanted)
    assert chunks_of(found(addresses, query)) == true[:7]


@pytest.mark.parametrize("passages", [PASSAGES, MANY])
def test_a_search_finds_nothing_of_another_owner_by_either_way(
    addresses: Addresses, admin: Sync, passages: int
) -> None:
    mine = searchable(admin, made_rows.OWNER, 1)
    searchable(admin, ANOTHER, 2)
    admin.execute("update documents set chunks_total = %s", [passages])
    theirs = Query(made_rows.OWNER, "shared of2", limit=100, vector=vectors(2)[0])
    hits = found(addresses, theirs)
    assert len(hits) == PASSAGES
    assert {hit["document_id"] for hit in hits} == {str(mine)}


@pytest.mark.parametrize("passages", [PASSAGES, MANY])
@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_collection_and_metadata_narrow_every_way_of_search(
    addresses: Addresses, admin: Sync, mode: str, passages: int
) -> None:
    here = searchable(admin, made_rows.OWNER, 1, collection="here", kind="note")
    searchable(admin, made_rows.OWNER, 2, collection="elsewhere", kind="note")
    searchable(admin, made_rows.OWNER, 3, collection="here", kind="bill")
    admin.execute("update documents set chunks_total = %s", [passages])
    query = Query(
        *(made_rows.OWNER, "shared", mode, 100, "here", {"kind": "note"}), vector=vectors(2)[0]
    )
    hits = found(addresses, query)
    assert len(hits) == PASSAGES
    assert {hit["document_id"] for hit in hits} == {str(here)}


def test_words_are_found_for_the_owner_of_the_claim_alone(
    addresses: Addresses, admin: Sync
) -> None:
    """Whoever calls the function without saying who asks gets nothing, not everything."""
    searchable(admin, made_rows.OWNER, 1)

    async def count() -> int:
        database = ApiDatabase(addresses.api)
        await database.open()
        try:
            async with database.reading(None) as connection:
                cursor = await connection.execute(
                    "select count(*) as n from"
                    " find_by_words('shared', '{shared}', 'shared', null, '{}', 100)"
                )
                return int((await cursor.fetchone() or {})["n"])
        finally:
            await database.close()

    assert asyncio.run(count()) == 0
