"""Static embeddings that run offline: the mean of the word-piece vectors of `wordllama`.

Only the weights and the tokenizer of the wheel are used, read directly: its own loader looks for
the tokenizer in a folder that the wheel does not have, and then on the network.
"""

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docmill.errors import Unavailable

NAME = "wordllama-l2-256"
DIMENSIONS = 256
WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
# Of wordllama 0.4.0.post1. Other weights would give vectors that don't fit those that are kept.
SHA256 = {
    WEIGHTS: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    TOKENIZER: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
}


class StaticEmbedder:
    """See `embed.Embedder`. Takes texts of any length; reading its tables is safe for threads."""

    name = NAME
    dimensions = DIMENSIONS
    batch = None
    max_bytes = None

    def __init__(self) -> None:
        # Threads of its own would multiply with ours; must be said before the import.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from safetensors.numpy import load_file  # noqa: PLC0415 - slow to import, API only
        from tokenizers import Tokenizer  # noqa: PLC0415 - as above

        wheel = _wheel()
        for name, expected in SHA256.items():
            _check(wheel / name, expected)
        self._vectors = load_file(wheel / WEIGHTS)["embedding.weight"].astype(np.float32)
        self._tokenizer = Tokenizer.from_file(str(wheel / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The normalised mean of each text's vectors."""
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        for row, encoding in zip(vectors, encodings, strict=True):
            if encoding.ids:
                mean = self._vectors[encoding.ids].mean(axis=0)
                length = float(np.linalg.norm(mean))
                row[:] = mean / length if length else 0.0
        return vectors

    def close(self) -> None:
        """Nothing to let go of."""


def _wheel() -> Path:
    wheel = importlib.util.find_spec("wordllama")
    if wheel is None or wheel.origin is None:
        raise Unavailable("The package wordllama is missing. Run `pip install docmill`.")
    return Path(wheel.origin).parent


def _check(path: Path, expected: str) -> None:
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise Unavailable(
            f"{path} is not the file this docmill was made for. Run `pip install --force-reinstall"
            " wordllama==0.4.0.post1`."
        )
