"""The chunk stage: cut the document's text into passages, a window of pages at a time.

The last window is committed by `finish`, with the end of the job, for several jobs at once.
"""

from collections.abc import Iterator, Sequence

from docmill import documents, job_queue
from docmill.chunk import ChunkSizing, ChunkState, Piece, chunk_window, windows
from docmill.documents import Growth
from docmill.errors import WARNINGS
from docmill.job_queue import Part
from docmill.model import Chunk, Job, Notice
from docmill.workplace import Ends, Following, Work, Workplace

CHUNKS_PER_PART = 1024
# More passages than this are read back by the embed stage instead of being handed on in memory.
HANDED_ON_CHUNKS = CHUNKS_PER_PART


class Cutting:
    """One attempt at a chunk job: how far it is, and what may be handed on."""

    def __init__(self, place: Workplace, job: Job) -> None:
        self.place = place
        self.job = job
        self.state = ChunkState.from_json(job.checkpoint) if job.checkpoint else ChunkState()
        self.sizing = ChunkSizing(max_bytes=place.embedder.max_bytes)
        self.handed_on: list[Chunk] | None = None if job.checkpoint else []
        self.last: list[Chunk] = []  # of the last window

    def cut(self, window: list[Piece]) -> list[Chunk]:
        """Cut one window and remember where it ended."""
        chunks, self.state = chunk_window(window, self.state, self.sizing)
        if self.handed_on is not None:
            self.handed_on += chunks
            if len(self.handed_on) > HANDED_ON_CHUNKS:
                self.handed_on = None
        return chunks

    def commit(self, chunks: list[Chunk]) -> None:
        """Commit a window that is not the last."""
        with self.place.database.commit("keep_chunks") as connection:
            job_queue.checkpoint(
                connection,
                self.job,
                done=self.state.next_ordinal,
                state=self.state.as_json(),
                lease_seconds=self.place.claimant.lease_seconds,
            )
            documents.keep_chunks(connection, [(self.job, chunks)])
            documents.advance(connection, [Growth(self.job, chunks=len(chunks))])

    @property
    def rows(self) -> int:
        """Passages that are not committed yet."""
        return len(self.last)

    @property
    def total(self) -> int:
        """How many passages were cut, with those of earlier attempts."""
        return self.state.next_ordinal

    def last_growth(self) -> Growth:
        """What the last window adds. Where nothing is to be embedded, users see a warning."""
        if self.total == 0:
            return Growth(
                self.job, chunks_total=0, notices=[Notice("NO_TEXT", WARNINGS["NO_TEXT"])]
            )
        return Growth(self.job, chunks=len(self.last), chunks_total=self.total, stage="embed")


def prepare(place: Workplace, work: Work) -> Cutting:
    """Cut all pages that no earlier attempt has cut, and commit all but the last window.

    Raises:
        Stopped: the work was told to stop; what was committed stays.
        LeaseLost: the job is no longer this worker's.
    """
    cutting = Cutting(place, work.job)
    pages = (
        iter(work.pages)
        if work.pages is not None
        else documents.read_pages(place.database, work.job, after=cutting.state.page)
    )
    for window, is_last in with_last(windows(pages, cutting.state.skip)):
        work.go_on()
        cutting.last = cutting.cut(window)
        if not is_last:
            cutting.commit(cutting.last)
    return cutting


def finish(place: Workplace, cuttings: Sequence[Cutting]) -> Ends:
    """Commit last windows, the ends of the jobs, and what follows: embedding, or the end.

    Raises:
        LeaseLost: a document is no longer in work, or no job this worker's; nothing was committed.
    """
    with place.database.commit("finish_chunk") as connection:
        held = job_queue.finish(connection, [(cutting.job, cutting.total) for cutting in cuttings])
        ours = [cutting for cutting in cuttings if cutting.job.id in held]
        documents.keep_chunks(connection, [(cutting.job, cutting.last) for cutting in ours])
        documents.advance(connection, [cutting.last_growth() for cutting in ours])
        documents.complete(connection, [cutting.job for cutting in ours if cutting.total == 0])
        parts = [(cutting.job, list(chunk_ranges(cutting.total))) for cutting in ours]
        for job, several in parts:
            if len(several) > 1:
                job_queue.enqueue(connection, job, "embed", several)
        single = [(job, some[0]) for job, some in parts if len(some) == 1]
        taken = job_queue.enqueue_taken(connection, single, "embed", place.claimant)
    chunks = {cutting.job.document_id: cutting.handed_on for cutting in ours}
    following = {key: Following(job, chunks=chunks[key]) for key, job in taken.items()}
    return {cutting.job.id: following.get(cutting.job.document_id) for cutting in ours}


def with_last(items: Iterator[list[Piece]]) -> Iterator[tuple[list[Piece], bool]]:
    """Each item, and whether it is the last: the last one is committed with the job's end."""
    current = next(items, None)
    while current is not None:
        following = next(items, None)
        yield current, following is None
        current = following


def chunk_ranges(chunks: int) -> Iterator[Part]:
    """The parts that so many chunks are embedded in, as ranges of ordinals."""
    for part, first in enumerate(range(0, chunks, CHUNKS_PER_PART)):
        last = min(first + CHUNKS_PER_PART, chunks) - 1
        yield Part(part, {"first": first, "last": last}, last - first + 1)
