"""The limit of a search: the SQL that docmill sends, on one connection, and its ranks merged.

No HTTP, no key to look up, no query to embed.
"""

import json
from typing import Any, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from docmill import lexical
from docmill.database import Row, addresses, connect
from docmill.search import CANDIDATES, STATEMENTS, Model, fuse, nearest
from docmill.vectors import vector_literal

HITS = 10


class BareSearch:
    """An owner's searches, as the API's role."""

    def __init__(self, url: str, owner: UUID) -> None:
        self._owner = owner
        self._claims = json.dumps({"sub": str(owner)})
        self._connection = connect(addresses(url).api)
        self._nearest = nearest(Model(1, 256))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __call__(self, query: str, vector: NDArray[np.float32]) -> list[Row]:
        """The passages."""
        with self._connection.transaction():
            self._execute(
                "select set_config('request.jwt.claims', %(claims)s, true)", claims=self._claims
            )
            self._execute(STATEMENTS.look_far)
            shared = {"collection": None, "metadata": Jsonb({}), "limit": CANDIDATES}
            near = self._execute(
                self._nearest, **shared, owner=self._owner, vector=vector_literal(vector)
            )
            words = self._execute(
                STATEMENTS.matching,
                **shared,
                any=lexical.tsquery_any(query),
                each=lexical.tsqueries(query),
                phrase=lexical.tsquery_phrase(query),
            )
            in_a_row = [row for row in words if row["in_a_row"]]
            ranked = fuse([[key(row) for row in rows] for rows in (words, near, in_a_row)])[:HITS]
            return self._execute(
                STATEMENTS.read_passages,
                documents=[document for (document, _, _), _ in ranked],
                generations=[generation for (_, generation, _), _ in ranked],
                ordinals=[ordinal for (_, _, ordinal), _ in ranked],
            )

    def _execute(self, statement: Any, **values: Any) -> list[Row]:
        return self._connection.execute(statement, values).fetchall()


def key(row: Row) -> tuple[str, int, int]:
    """What a passage is known by."""
    return row["document_id"], row["generation"], row["ordinal"]
