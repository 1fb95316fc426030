"""What an embedder is, and which one the settings name."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from docmill import embed_openai, embed_static
from docmill.config import Settings


class Embedder(Protocol):
    """Turns texts into vectors. Used by many threads at once."""

    @property
    def name(self) -> str:
        """The model's name in the database; another model or dimension has another name."""

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""

    @property
    def batch(self) -> int | None:
        """How many texts go into one call that costs something; None where none does."""

    @property
    def max_bytes(self) -> int | None:
        """The longest text in bytes of UTF-8; None for any length."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row of length 1 per text; a row of zeros where there is nothing to index.

        Raises:
            Failure: EMBEDDER_UNAVAILABLE, EMBEDDER_REFUSED or EMBEDDER_BAD_ANSWER.
        """

    def close(self) -> None:
        """Let go of connections."""


def create_embedder(settings: Settings, table: int | None = None) -> Embedder:
    """The embedder that the settings name, ready for use.

    `table` is what `table_of` said in the process that started this one, and left open for it.

    Raises:
        Unavailable: the weights of the static embedder are not what they must be.
    """
    if settings.embedder == "openai":
        return embed_openai.OpenAIEmbedder(_endpoint(settings))
    return embed_static.StaticEmbedder(table)


def table_of(embedder: Embedder) -> int | None:
    """The descriptor of memory that other processes may share with this one; None where none is."""
    return embedder.table if isinstance(embedder, embed_static.StaticEmbedder) else None


def model_of(settings: Settings) -> tuple[str, int]:
    """Name and dimensions of the embedder's model, without loading it."""
    if settings.embedder == "openai":
        endpoint = _endpoint(settings)
        return endpoint.name, endpoint.dimensions
    return embed_static.NAME, embed_static.DIMENSIONS


def _endpoint(settings: Settings) -> embed_openai.Endpoint:
    return embed_openai.Endpoint(
        url=settings.embed_url or "",
        api_key=settings.embed_api_key,
        model=settings.embed_model or "",
        dimensions=settings.embed_dimensions or 0,
        max_tokens=settings.embed_max_tokens,
        batch=settings.embed_batch,
        timeout_seconds=settings.embed_timeout_seconds,
    )
