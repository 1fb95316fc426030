"""A worker whose stages do nothing but their commits: the queue alone.

    python bench/noop_worker.py ADDRESS SLOTS

docmill's own loop, claims, groups, leases, fences, commits, heartbeat and threads. Only the work
of the stages is left out: nothing is parsed, cut or embedded; what they commit is constants.
It ends when the queue is empty.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from docmill import attempt, chunk_stage, embed_stage, parse_stage
from docmill.attempt import Stage
from docmill.chunk_stage import Cutting
from docmill.config import Settings
from docmill.documents import Passage
from docmill.embed_stage import Rest
from docmill.embed_static import DIMENSIONS, NAME
from docmill.model import Chunk, Opened, Page
from docmill.parse_process import ParseProcess
from docmill.parse_stage import Reading
from docmill.worker import Worker
from docmill.workplace import Work, Workplace

OPENED = Opened("text/plain", None, ranged=False)
PAGE = Page(1, "A page.")
CHUNK = Chunk(0, "A page.", 1, 1, 0, 7)


class NoEmbedder:
    """Vectors of zeros, which are not kept: their index is another line."""

    name = NAME
    dimensions = DIMENSIONS
    batch = None
    max_bytes = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Zeros."""
        return np.zeros((len(texts), DIMENSIONS), np.float32)

    def close(self) -> None:
        """Nothing to let go of."""


def parse(place: Workplace, work: Work) -> Reading:
    """A file of one page."""
    reading = Reading(place, work.job)
    reading.take(OPENED)
    reading.take(PAGE)
    return reading


def chunk(place: Workplace, work: Work) -> Cutting:
    """One passage."""
    cutting = Cutting(place, work.job)
    cutting.state = replace(cutting.state, next_ordinal=1)
    cutting.last = [CHUNK]
    return cutting


def embed(_: Workplace, work: Work) -> Rest:
    """The same passage."""
    return Rest(work.job, [Passage(work.job, 0, CHUNK.text)], 1)


def main() -> None:
    """Work until nothing is due."""
    address, slots = sys.argv[1], int(sys.argv[2])
    attempt.STAGES.update(
        parse=Stage(parse, parse_stage.finish),
        chunk=Stage(chunk, chunk_stage.finish),
        embed=Stage(embed, embed_stage.finish),
    )
    ParseProcess.start = lambda _: None  # no parser is needed, and none is to warm up meanwhile
    Worker(Settings(slots=slots), address, NoEmbedder()).run_what_is_due(3600)


if __name__ == "__main__":
    main()
