"""10,000 small text files through HTTP to searchable, in files per second, as `corpus` does it."""

from collections.abc import Iterator

import corpus
import files
from harness import Bench, Row, Target


def run(bench: Bench) -> Iterator[Row]:
    """Files per second of docmill and of the limit; each is one page."""
    paths = files.small_texts(bench.folder, bench.size(10_000, 200))
    yield from corpus.against_limit(bench, "small_files", paths, Target(0.6))
