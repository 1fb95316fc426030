"""Find passages by meaning, by words, or by both, merged by reciprocal rank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from docmill import lexical, vector_index
from docmill.database import ApiDatabase, AtOnce, Row, Statements, one
from docmill.errors import Unavailable
from docmill.vectors import vector_literal

STATEMENTS = Statements("search")

MODES = ("hybrid", "vector", "text")
# Each way gives this many candidates at least: a passage that both ways like a little can come
# before one that only one way likes much.
CANDIDATES = 50
# Reciprocal rank fusion, with the constant of Cormack, Clarke and Büttcher (SIGIR 2009).
RANK_CONSTANT = 60

Key = tuple[str, int, int]  # document, generation, ordinal


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


class Search:
    """Finds passages by their words and by the vectors of one model."""

    def __init__(self, database: ApiDatabase, model: str) -> None:
        self._database = database
        self._name = model
        self._model: Model | None = None

    async def find(self, query: Query) -> list[dict[str, Any]]:
        """The best passages for a query, best first, in the shape of the contract's hits.

        Raises:
            Unavailable: `docmill migrate` never heard of the model.
        """
        # Its id stays: rows of models are added, and no more.
        self._model = self._model or await self._find_model()
        async with self._database.reading_at_once(query.owner) as reading:
            by_vector, by_words = await _both_ways(reading, self._model, query)
            ranked = _ranked(by_vector, by_words)[: query.limit]
            passages = await _passages(reading, [key for key, _ in ranked])
        return [
            {
                **_hit(passages[key], score, _score(by_vector, key), _score(by_words, key)),
                "matches": lexical.found_in(passages[key]["text"], query.text),
            }
            for key, score in ranked
            if key in passages
        ]

    async def _find_model(self) -> Model:
        async with self._database.reading(None) as connection:
            row = await one(connection, STATEMENTS.find_model, {"name": self._name})
        if row is None:
            raise Unavailable(f"The database knows no model {self._name}. Run `docmill migrate`.")
        return Model(row["id"], row["dimensions"])


async def _both_ways(
    reading: AtOnce, model: Model, query: Query
) -> tuple[dict[Key, Row], dict[Key, Row]]:
    """What is found by meaning and by words, each best first; asked in one message."""
    told = _filters(query)
    ways: dict[str, bytes] = {}
    if query.mode != "text" and query.vector is not None and query.vector.any():
        ways["vector"] = nearest(model)
        told |= {"owner": query.owner, "vector": vector_literal(query.vector)}
    if query.mode != "vector" and (any_word := lexical.tsquery_any(query.text)):
        ways["words"] = STATEMENTS.matching
        told |= {
            "any": any_word,
            "each": lexical.tsqueries(query.text),
            "phrase": lexical.tsquery_phrase(query.text),
        }
    _, *answers = await reading.ask([STATEMENTS.look_far, *ways.values()], told)
    found = dict(zip(ways, map(_by_key, answers), strict=True))
    return found.get("vector", {}), found.get("words", {})


def _ranked(by_vector: dict[Key, Row], by_words: dict[Key, Row]) -> list[tuple[Key, float]]:
    """Both ways merged, and a third: those that have the words in a row, a ranking of its own.

    A long passage that holds the very phrase is far from the query's vector, and would else come
    behind everything that both ways like a little.
    """
    in_a_row = [key for key, row in by_words.items() if row["in_a_row"]]
    return fuse([list(by_words), list(by_vector), in_a_row])


def fuse(rankings: Sequence[Sequence[Key]]) -> list[tuple[Key, float]]:
    """Merge rankings: each gives `1 / (60 + rank)`; best first, equals in the order first seen."""
    scores: dict[Key, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + 1.0 / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda item: -item[1])


@cache
def nearest(model: Model) -> bytes:
    """The statement that finds the nearest of a model's vectors."""
    composed = sql.SQL(STATEMENTS.nearest.decode()).format(
        dimensions=sql.Literal(model.dimensions),
        model_id=sql.Literal(model.id),
        index=sql.Literal(vector_index.name_of(model.id)),
    )
    return composed.as_bytes(None)


async def _passages(reading: AtOnce, keys: Sequence[Key]) -> dict[Key, Row]:
    told = {
        "documents": [document for document, _, _ in keys],
        "generations": [generation for _, generation, _ in keys],
        "ordinals": [ordinal for _, _, ordinal in keys],
    }
    (rows,) = await reading.ask([STATEMENTS.read_passages], told, last=True)
    return _by_key(rows)


def _by_key(rows: Sequence[Row]) -> dict[Key, Row]:
    """Rows by the passages that they name, in their order."""
    return {_key(row): row for row in rows}


def _filters(query: Query) -> dict[str, Any]:
    return {
        "collection": query.collection,
        "metadata": Jsonb(query.metadata),
        "limit": max(CANDIDATES, query.limit),
    }


def _score(found: Mapping[Key, Row], key: Key) -> float | None:
    return float(found[key]["score"]) if key in found else None


def _key(row: Row) -> Key:
    return row["document_id"], row["generation"], row["ordinal"]


def chunk_id(document_id: object, generation: int, ordinal: int) -> str:
    """A passage's name: document, generation and place."""
    return f"{document_id}.{generation}.{ordinal}"


def _hit(row: Row, score: float, vector: float | None, text: float | None) -> dict[str, Any]:
    return {
        "document_id": row["document_id"],
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
