"""Embeddings from any OpenAI-compatible endpoint: OpenAI, Ollama, vLLM, TEI and others.

An endpoint that is busy or away is a passing failure: asked again here when it wants so within
seconds, else by the queue, after the wait that it asked for. What it refuses, it will refuse again.
An answer is checked before any of it is kept. Where the endpoint is says the operator, and mostly
that is a private network: `outgoing.py`, which is for addresses that users name, would refuse it.
"""

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

from docmill.errors import Failure
from docmill.outgoing import retry_after

CONNECT_SECONDS = 5.0
TRIES = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
BATCH_BYTES = 512 * 1024
# A float as text takes some 25 bytes, base64 takes 6; and something for what surrounds them.
ANSWER_BYTES_PER_NUMBER = 40
ANSWER_BYTES_BESIDES = 1 << 20
SHOWN_OF_MESSAGE = 300
BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
# The key, the account, the model's name: nothing that a document could do anything about.
NOT_LET_IN = frozenset({401, 402, 403, 404, 405})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model is and how it is asked. `url` ends before `/embeddings`."""

    url: str
    api_key: str | None
    model: str
    dimensions: int
    max_tokens: int = 8191
    batch: int = 64
    timeout_seconds: float = 60.0

    @property
    def name(self) -> str:
        """The model's name in the database."""
        return f"openai:{self.model}:{self.dimensions}"


class OpenAIEmbedder:
    """See `embed.Embedder`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self.dimensions = endpoint.dimensions
        self.batch: int | None = endpoint.batch
        # A token is at least one byte, so a text of so many bytes is never too long.
        self.max_bytes: int | None = endpoint.max_tokens
        self._endpoint = endpoint
        key = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self._client = httpx2.Client(
            headers=key,
            timeout=httpx2.Timeout(endpoint.timeout_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,
        )

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Ask for the texts in batches of like length."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for batch in batches(texts, self._endpoint.batch):
            vectors[batch] = self._ask([texts[number] for number in batch])
        return vectors

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, texts: list[str]) -> NDArray[np.float32]:
        for attempt in range(1, TRIES + 1):
            try:
                return self._ask_once(texts)
            except Failure as failure:
                pause = failure.retry_after or FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
                passing = failure.code == "EMBEDDER_UNAVAILABLE"
                if not passing or attempt == TRIES or pause > LONGEST_PAUSE_SECONDS:
                    raise
                time.sleep(pause)
        raise AssertionError  # the last try has raised or returned

    def _ask_once(self, texts: list[str]) -> NDArray[np.float32]:
        question = {
            "model": self._endpoint.model,
            "input": texts,
            "encoding_format": "base64",
        }
        # The same question has the same key, so a service that knows such keys bills it once.
        content = json.dumps(question).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": hashlib.sha256(content).hexdigest(),
        }
        try:
            with self._client.stream(
                "POST", f"{self._endpoint.url}/embeddings", content=content, headers=headers
            ) as response:
                content = self._read(response, len(texts))
        except httpx2.TimeoutException as error:
            seconds = self._endpoint.timeout_seconds
            raise Failure(
                "EMBEDDER_UNAVAILABLE", f"The embedder did not answer in {seconds:g} seconds."
            ) from error
        except httpx2.HTTPError as error:
            raise Failure("EMBEDDER_UNAVAILABLE", f"{type(error).__name__}: {error}.") from error
        if response.status_code != httpx2.codes.OK:
            raise refusal(response, self._without_key(content))
        return vectors_of(content, len(texts), self.dimensions)

    def _without_key(self, said: bytes) -> bytes:
        """What a service says, without the key that some repeat; a document's owner reads it."""
        key = (self._endpoint.api_key or "").encode()
        return said.replace(key, b"***") if key else said

    def _read(self, response: httpx2.Response, count: int) -> bytes:
        most = count * self.dimensions * ANSWER_BYTES_PER_NUMBER + ANSWER_BYTES_BESIDES
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > most:
                raise Failure("EMBEDDER_BAD_ANSWER", f"The answer is longer than {most:,} bytes.")
        return bytes(content)


def batches(texts: Sequence[str], most: int) -> Iterator[list[int]]:
    """The texts' numbers, longest first, in batches bounded by count and bytes.

    Endpoints pad a batch to its longest text, so texts of like length belong together.
    """
    sizes = [len(text.encode()) for text in texts]
    batch: list[int] = []
    taken = 0
    for number in sorted(range(len(texts)), key=sizes.__getitem__, reverse=True):
        if batch and (len(batch) == most or taken + sizes[number] > BATCH_BYTES):
            yield batch
            batch, taken = [], 0
        batch.append(number)
        taken += sizes[number]
    if batch:
        yield batch


def refusal(response: httpx2.Response, content: bytes) -> Failure:
    """What an answer other than 200 means: come back later, mend the settings, or never."""
    said = content[:SHOWN_OF_MESSAGE].decode(errors="replace").strip()
    detail = f"The embedder answered {response.status_code}: {said}"
    if response.status_code in BUSY:
        return Failure("EMBEDDER_UNAVAILABLE", detail, retry_after=retry_after(response.headers))
    if response.status_code in NOT_LET_IN:
        return Failure("EMBEDDER_NOT_ALLOWED", detail)
    return Failure("EMBEDDER_REFUSED", detail)


def vectors_of(content: bytes, count: int, dimensions: int) -> NDArray[np.float32]:
    """The vectors in an answer, in the order of the question, each of length 1.

    Raises:
        Failure: EMBEDDER_BAD_ANSWER.
    """
    try:
        items = httpx2.Response(200, content=content).json()["data"]
        by_index = {int(item["index"]): _numbers(item["embedding"]) for item in items}
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as error:
        raise _bad(f"it can't be read ({type(error).__name__})") from error
    if len(items) != count or set(by_index) != set(range(count)):
        raise _bad(f"{count} vectors were asked for and {len(items)} came")
    vectors = np.zeros((count, dimensions), np.float32)
    for index, numbers in by_index.items():
        if numbers.shape != (dimensions,):
            raise _bad(
                f"its vectors have {numbers.size} dimensions, not {dimensions};"
                " set DOCMILL_EMBED_DIMENSIONS to what the model gives"
            )
        vectors[index] = numbers
    return _normalised(vectors)


def _numbers(embedding: Any) -> NDArray[np.float32]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    return np.asarray(embedding, np.float32)


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(vectors).all():
        raise _bad("its vectors hold numbers that are not finite")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(
        vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0
    )
    return unit


def _bad(reason: str) -> Failure:
    return Failure("EMBEDDER_BAD_ANSWER", f"The embedder's answer is unusable: {reason}.")
