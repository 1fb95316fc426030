"""An embedding service over the network: paused as a whole when it fails, and never paid twice.

Its failures are not the documents': all workers leave it alone for a while, longer each time, and
the documents wait without using up their attempts. Answers are kept by the text's hash in a commit
of their own, so that a crash before the stage's commit does not ask (and pay) again.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from opentelemetry.trace import SpanKind
from psycopg.types.json import Jsonb

from docmill import tracing
from docmill.database import Statements, Sync, WorkerDatabase
from docmill.documents import Passage
from docmill.embed import Embedder
from docmill.errors import Failure
from docmill.retry import RetryPolicy
from docmill.vectors import Numbers

STATEMENTS = Statements("embedding_service")


# A text of an owner, by its hash: what one owner's service was paid for is not given to another.
Key = tuple[UUID, bytes]


def embed(
    database: WorkerDatabase, embedder: Embedder, model_id: int, passages: Sequence[Passage]
) -> NDArray[np.float32]:
    """The passages' vectors, a row each: those that were paid for, and the rest from the service.

    Raises:
        Failure: the service is paused, can't be reached, refuses, or answers nonsense.
    """
    keys = [(one.job.owner_id, hashlib.sha256(one.text.encode()).digest()) for one in passages]
    known = _find_paid(database, model_id, keys)
    missing = {
        key: passage.text for key, passage in zip(keys, passages, strict=True) if key not in known
    }
    for some in _slices(list(missing), embedder.batch or len(missing)):
        _refuse_while_paused(database, embedder.name)
        began = time.monotonic()
        with tracing.span("embedding service", SpanKind.CLIENT, texts=len(some)):
            vectors = embedder.embed([missing[key] for key in some])
        took = {"seconds": time.monotonic() - began, "texts": len(some)}
        with database.commit("keep_paid") as connection:
            _keep_paid(connection, model_id, some, vectors)
            connection.execute(STATEMENTS.count_call, took)
            connection.execute(STATEMENTS.heal, {"name": embedder.name})
        known |= dict(zip(some, vectors, strict=True))
    shape = (len(passages), embedder.dimensions)
    return np.array([known[key] for key in keys], np.float32).reshape(shape)


def pause(database: WorkerDatabase, name: str, failure: Failure, policy: RetryPolicy) -> None:
    """Have every worker leave the service alone for a while."""
    with database.commit("pause_service") as connection:
        connection.execute(
            STATEMENTS.pause,
            {
                "name": name,
                "error": Jsonb({"code": failure.code, "said": failure.said}),
                "retry_after": failure.retry_after,
                "base": policy.base_seconds,
                "cap": policy.cap_seconds,
            },
        )


def _refuse_while_paused(database: WorkerDatabase, name: str) -> None:
    with database.reading() as connection:
        row = connection.execute(STATEMENTS.find_pause, {"name": name}).fetchone()
    if row is not None:
        raise Failure(row["error"]["code"], row["error"]["said"], retry_after=row["seconds"])


def _find_paid(
    database: WorkerDatabase, model_id: int, keys: Sequence[Key]
) -> dict[Key, NDArray[np.float32]]:
    with database.reading() as connection:
        rows = connection.execute(
            STATEMENTS.find_paid,
            {
                "model_id": model_id,
                "owner_ids": [owner for owner, _ in keys],
                "hashes": [digest for _, digest in keys],
            },
        ).fetchall()
    return {(row["owner_id"], bytes(row["hash"])): _vector(row["vector"]) for row in rows}


def _keep_paid(
    connection: Sync, model_id: int, keys: Sequence[Key], vectors: NDArray[np.float32]
) -> None:
    # In the keys' order: two workers that keep the same texts lock their rows alike.
    order = sorted(range(len(keys)), key=keys.__getitem__)
    connection.execute(
        STATEMENTS.keep_paid,
        {
            "model_id": model_id,
            "owner_ids": [keys[at][0] for at in order],
            "hashes": [keys[at][1] for at in order],
            "numbers": Numbers(vectors[order]),
            "dimensions": vectors.shape[1],
        },
    )


def _vector(literal: str) -> NDArray[np.float32]:
    return np.array(literal.strip("[]").split(","), np.float32)


def _slices(items: list[Key], size: int) -> Iterator[list[Key]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
