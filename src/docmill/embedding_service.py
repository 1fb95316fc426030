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
from docmill.documents import vector_literal
from docmill.embed import Embedder
from docmill.errors import Failure
from docmill.retry import RetryPolicy

STATEMENTS = Statements("embedding_service")


def embed(
    database: WorkerDatabase,
    embedder: Embedder,
    model_id: int,
    owner_id: UUID,
    texts: Sequence[str],
) -> NDArray[np.float32]:
    """The texts' vectors: those that this owner was given before, and the rest from the service.

    Raises:
        Failure: the service is paused, can't be reached, refuses, or answers nonsense.
    """
    hashes = [hashlib.sha256(text.encode()).digest() for text in texts]
    known = _find_paid(database, owner_id, model_id, hashes)
    missing = {
        digest: text for digest, text in zip(hashes, texts, strict=True) if digest not in known
    }
    for some in _slices(list(missing), embedder.batch or len(missing)):
        _refuse_while_paused(database, embedder.name)
        began = time.monotonic()
        with tracing.span("embedding service", SpanKind.CLIENT, texts=len(some)):
            vectors = embedder.embed([missing[digest] for digest in some])
        took = {"seconds": time.monotonic() - began, "texts": len(some)}
        with database.commit("keep_paid") as connection:
            _keep_paid(connection, owner_id, model_id, some, vectors)
            connection.execute(STATEMENTS.count_call, took)
            connection.execute(STATEMENTS.heal, {"name": embedder.name})
        known |= dict(zip(some, vectors, strict=True))
    shape = (len(texts), embedder.dimensions)
    return np.array([known[digest] for digest in hashes], np.float32).reshape(shape)


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
    database: WorkerDatabase, owner_id: UUID, model_id: int, hashes: list[bytes]
) -> dict[bytes, NDArray[np.float32]]:
    with database.reading() as connection:
        rows = connection.execute(
            STATEMENTS.find_paid,
            {"owner_id": owner_id, "model_id": model_id, "hashes": hashes},
        ).fetchall()
    return {bytes(row["text_sha256"]): _vector(row["vector"]) for row in rows}


def _keep_paid(
    connection: Sync,
    owner_id: UUID,
    model_id: int,
    hashes: Sequence[bytes],
    vectors: NDArray[np.float32],
) -> None:
    # In the hashes' order: two workers that keep the same texts lock their rows alike.
    answers = sorted(zip(hashes, vectors, strict=True), key=lambda answer: answer[0])
    connection.execute(
        STATEMENTS.keep_paid,
        {
            "owner_id": owner_id,
            "model_id": model_id,
            "hashes": [digest for digest, _ in answers],
            "vectors": [vector_literal(vector) for _, vector in answers],
        },
    )


def _vector(literal: str) -> NDArray[np.float32]:
    return np.array(literal.strip("[]").split(","), np.float32)


def _slices(items: list[bytes], size: int) -> Iterator[list[bytes]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
