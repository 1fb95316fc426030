"""A worker whose stages do nothing but their commits: the queue alone.

    python bench/noop_worker.py ADDRESS SLOTS

docmill's own loop, claims, leases, fences, heartbeat and threads. Each stage keeps a row of output,
ends its job and adds the next one, in the one commit that docmill makes of it; nothing is parsed,
cut or embedded. It ends when the queue is empty.
"""

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from docmill import attempt, documents, job_queue
from docmill.config import Settings
from docmill.embed_static import DIMENSIONS, NAME
from docmill.job_queue import Part
from docmill.model import Chunk, Page
from docmill.parse_process import ParseProcess
from docmill.worker import Worker
from docmill.workplace import Following, Work, Workplace

PAGE = Page(1, "A page.")
CHUNK = Chunk(0, "A page.", 1, 1, 0, 7)
EMBED = Part(0, {"first": 0, "last": 0}, 1)


class NoEmbedder:
    """Only its name is asked for."""

    name = NAME
    dimensions = DIMENSIONS
    batch = None
    max_bytes = None

    def embed(self, _: object) -> NDArray[np.float32]:
        """Never."""
        raise AssertionError

    def close(self) -> None:
        """Nothing to let go of."""


def parse(place: Workplace, work: Work) -> Following | None:
    """What `parse_stage` commits for a file of one page."""
    job = work.job
    with place.database.commit("finish_parse") as connection:
        job_queue.finish(connection, job, done=1)
        documents.keep_pages(connection, job, [PAGE])
        documents.advance(connection, job, pages=1, pages_total=1, media_type="text/plain")
        documents.advance(connection, job, stage="chunk")
        following = job_queue.enqueue_taken(connection, job, "chunk", Part(0), place.claimant)
    return Following(following) if following else None


def chunk(place: Workplace, work: Work) -> Following | None:
    """What `chunk_stage` commits for one passage."""
    job = work.job
    with place.database.commit("finish_chunk") as connection:
        job_queue.finish(connection, job, done=1)
        documents.keep_chunks(connection, job, [CHUNK])
        documents.advance(connection, job, chunks=1, chunks_total=1, stage="embed")
        following = job_queue.enqueue_taken(connection, job, "embed", EMBED, place.claimant)
    return Following(following) if following else None


def embed(place: Workplace, work: Work) -> None:
    """What `embed_stage` commits for one passage, without the vector: its index is another line."""
    job = work.job
    with place.database.commit("finish_embed") as connection:
        job_queue.finish(connection, job, done=1)
        documents.advance(connection, job, embedded=1)
        if job_queue.unfinished_parts(connection, job, "embed") == 0:
            documents.complete(connection, job)


STAGES: dict[str, Callable[[Workplace, Work], Following | None]] = {
    "parse": parse,
    "chunk": chunk,
    "embed": embed,
}


def main() -> None:
    """Work until nothing is due."""
    address, slots = sys.argv[1], int(sys.argv[2])
    attempt.STAGES.update(STAGES)
    ParseProcess.start = lambda _: None  # no parser is needed, and none is to warm up meanwhile
    Worker(Settings(slots=slots), address, NoEmbedder()).run_what_is_due(3600)


if __name__ == "__main__":
    main()
