"""The table of vectors is one for a server and its workers, and nobody can change it."""

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from docmill.embed_static import DIMENSIONS, StaticEmbedder

TEXTS = ["a roof of slate", "Das Dach ist aus Schiefer.", ""]
OTHER = """
import sys
from docmill.embed_static import StaticEmbedder
embedder = StaticEmbedder(int(sys.argv[1]))
mapped = [line for line in open("/proc/self/maps") if "docmill-vectors" in line]
assert len(mapped) == 1, mapped
sys.stdout.buffer.write(embedder.embed(sys.argv[2:]).tobytes())
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each has its own table")


@pytest.fixture(scope="module")
def embedder() -> Iterator[StaticEmbedder]:
    made = StaticEmbedder()
    yield made
    made.close()


def test_another_process_embeds_alike_from_the_memory_that_it_was_given(
    embedder: StaticEmbedder,
) -> None:
    assert embedder.table is not None
    said = subprocess.run(
        [sys.executable, "-c", OTHER, str(embedder.table), *TEXTS],
        pass_fds=[embedder.table],
        capture_output=True,
        check=True,
        timeout=60,
    )
    theirs = np.frombuffer(said.stdout, np.float32).reshape(-1, DIMENSIONS)
    assert np.array_equal(theirs, embedder.embed(TEXTS))


def test_who_was_given_the_memory_cannot_write_to_it(embedder: StaticEmbedder) -> None:
    assert embedder.table is not None
    with pytest.raises(PermissionError):
        os.pwrite(embedder.table, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(embedder.table, 0)
    with pytest.raises(PermissionError):
        mmap.mmap(embedder.table, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE)
