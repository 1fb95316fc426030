"""Find passages by meaning, by words, or by both, merged by reciprocal rank."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from docmill import lexical, vector_index
from docmill.database import Async, Row, Statements
from docmill.errors import Unavailable
from docmill.vectors import vector_literal

STATEMENTS = Statements("search")

MODES = ("hybrid", "vector", "text")
# Each way gives this many candidates at least: a passage that both ways like a little can come
# before one that only one way likes much.
CANDIDATES = 50
# Reciprocal rank fusion, with the constant of Cormack, Clarke and Büttcher (SIGIR 2009).
RANK_CONSTANT = 60

Key = tuple[Any, int, int]


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for, and whose. `vector`: the query's embedding; None in the mode `text`."""

    owner: UUID
    text: str
    mode: str = "hybrid"
    limit: int = 10
    collection: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """The model whose vectors are searched."""

    id: int
    dimensions: int


async def find_model(connection: Async, name: str) -> Model:
    """The model's row.

    Raises:
        Unavailable: `docmill migrate` never heard of it.
    """
    cursor = await connection.execute(STATEMENTS.find_model, {"name": name})
    row = await cursor.fetchone()
    if row is None:
        raise Unavailable(f"The database knows no model {name}. Run `docmill migrate`.")
    return Model(row["id"], row["dimensions"])


async def search(connection: Async, model: Model, query: Query) -> list[dict[str, Any]]:
    """The best passages for a query, best first, in the shape of the contract's hits.

    In the transaction that `find_model` was called in.
    """
    by_vector = await _nearest(connection, model, query) if query.mode != "text" else {}
    by_words, in_a_row = await _matching(connection, query) if query.mode != "vector" else ({}, [])
    ranked = fuse([list(by_words), list(by_vector), in_a_row])[: query.limit]
    passages = await _read_passages(connection, [key for key, _ in ranked])
    return [
        {
            **_hit(passages[key], score, by_vector.get(key), by_words.get(key)),
            "matches": lexical.found_in(passages[key]["text"], query.text),
        }
        for key, score in ranked
        if key in passages
    ]


def fuse(rankings: Sequence[Sequence[Key]]) -> list[tuple[Key, float]]:
    """Merge rankings: each gives `1 / (60 + rank)`; best first, equals in the order first seen."""
    scores: dict[Key, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + 1.0 / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda item: -item[1])


def nearest(model: Model) -> sql.Composed:
    """The statement that finds the nearest of a model's vectors."""
    return sql.SQL(STATEMENTS.nearest.decode()).format(
        dimensions=sql.Literal(model.dimensions),
        model_id=sql.Literal(model.id),
        index=sql.Literal(vector_index.name_of(model.id)),
    )


async def _nearest(connection: Async, model: Model, query: Query) -> dict[Key, float]:
    if query.vector is None or not query.vector.any():
        return {}
    cursor = await connection.execute(
        nearest(model),
        {**_filters(query), "owner": query.owner, "vector": vector_literal(query.vector)},
    )
    return {_key(row): float(row["score"]) for row in await cursor.fetchall()}


async def _matching(connection: Async, query: Query) -> tuple[dict[Key, float], list[Key]]:
    """Scores of what has the words, and which of it has them in a row.

    The latter is a ranking of its own: a long passage that holds the very phrase is far from the
    query's vector, and would else come behind everything that both ways like a little.
    """
    any_word = lexical.tsquery_any(query.text)
    if not any_word:
        return {}, []
    cursor = await connection.execute(
        STATEMENTS.matching,
        {
            **_filters(query),
            "any": any_word,
            "each": lexical.tsqueries(query.text),
            "phrase": lexical.tsquery_phrase(query.text),
        },
    )
    rows = await cursor.fetchall()
    scores = {_key(row): float(row["score"]) for row in rows}
    return scores, [_key(row) for row in rows if row["in_a_row"]]


async def _read_passages(connection: Async, keys: Sequence[Key]) -> dict[Key, Row]:
    cursor = await connection.execute(
        STATEMENTS.read_passages,
        {
            "documents": [document for document, _, _ in keys],
            "generations": [generation for _, generation, _ in keys],
            "ordinals": [ordinal for _, _, ordinal in keys],
        },
    )
    return {_key(row): row for row in await cursor.fetchall()}


def _filters(query: Query) -> dict[str, Any]:
    return {
        "collection": query.collection,
        "metadata": Jsonb(query.metadata),
        "limit": max(CANDIDATES, query.limit),
    }


def _key(row: Row) -> Key:
    return row["document_id"], row["generation"], row["ordinal"]


def chunk_id(document_id: object, generation: int, ordinal: int) -> str:
    """A passage's name: document, generation and place."""
    return f"{document_id}.{generation}.{ordinal}"


def _hit(row: Row, score: float, vector: float | None, text: float | None) -> dict[str, Any]:
    return {
        "document_id": str(row["document_id"]),
        "filename": row["filename"],
        "metadata": row["metadata"],
        "chunk_id": chunk_id(row["document_id"], row["generation"], row["ordinal"]),
        "text": row["text"],
        "page_first": row["page_first"],
        "page_last": row["page_last"],
        "char_start": row["char_start"],
        "char_end": row["char_end"],
        "headings": row["headings"],
        "score": score,
        "scores": {"vector": vector, "text": text},
    }
