"""Static embeddings that run offline: the mean of the word-piece vectors of `wordllama`.

Only the weights and the tokenizer of the wheel are used, read directly: its own loader looks for
the tokenizer in a folder that the wheel does not have, and then on the network.
"""

import ctypes
import fcntl
import hashlib
import importlib.util
import mmap
import os
import sys
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
    """See `embed.Embedder`. Takes texts of any length; reading its tables is safe for threads.

    `table` is the descriptor of its vectors, for processes that inherit it: they map the same
    memory and need none of their own. None where the system has no such thing.
    """

    name = NAME
    dimensions = DIMENSIONS
    batch = None
    max_bytes = None

    def __init__(self, table: int | None = None) -> None:
        # Threads of its own would multiply with ours; must be said before the import.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from tokenizers import Tokenizer  # noqa: PLC0415 - slow to import, API only

        self.table, self._vectors = _read() if table is None else (table, _mapped(table))
        self._tokenizer = Tokenizer.from_file(str(_checked(TOKENIZER)))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        _give_back_memory()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The normalised mean of each text's vectors."""
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        # Fast: without the place of each token, which nobody asks for.
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        for row, encoding in zip(vectors, encodings, strict=True):
            if encoding.ids:
                mean = self._vectors[encoding.ids].mean(axis=0)
                length = float(np.linalg.norm(mean))
                row[:] = mean / length if length else 0.0
        return vectors

    def close(self) -> None:
        """Let go of the descriptor. What is mapped stays."""
        if self.table is not None:
            os.close(self.table)
            self.table = None


def _read() -> tuple[int | None, NDArray[np.float32]]:
    """A row of numbers for each word piece, and the descriptor of the memory that they are in."""
    from safetensors.numpy import load_file  # noqa: PLC0415 - as above

    vectors: NDArray[np.float32] = load_file(_checked(WEIGHTS))["embedding.weight"].astype(
        np.float32
    )
    table = _shared(vectors)
    return (None, vectors) if table is None else (table, _mapped(table))


def _shared(vectors: NDArray[np.float32]) -> int | None:
    """The descriptor of memory that holds the vectors and that nobody can change any more."""
    if sys.platform != "linux":
        return None
    table = os.memfd_create("docmill-vectors", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(table, "wb", closefd=False) as file:
        file.write(vectors.data)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(table, fcntl.F_ADD_SEALS, seals)
    return table


def _mapped(table: int) -> NDArray[np.float32]:
    """The vectors in such memory."""
    content = mmap.mmap(table, 0, prot=mmap.PROT_READ)
    return np.frombuffer(content, np.float32).reshape(-1, DIMENSIONS)


def _wheel() -> Path:
    wheel = importlib.util.find_spec("wordllama")
    if wheel is None or wheel.origin is None:
        raise Unavailable("The package wordllama is missing. Run `pip install docmill`.")
    return Path(wheel.origin).parent


def _give_back_memory() -> None:
    """Return to the system what reading the files took: ten mebibytes per process stay else."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc
        trim(0)


def _checked(name: str) -> Path:
    """A file of the wheel, once it was found to be what it must be."""
    path = _wheel() / name
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[name]:
        raise Unavailable(
            f"{path} is not the file this docmill was made for. Run `pip install --force-reinstall"
            " wordllama==0.4.0.post1`."
        )
    return path
