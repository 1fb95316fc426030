"""The chunk stage: cut the document's text into passages, a window of pages at a time."""

from collections.abc import Iterator

from docmill import documents, job_queue
from docmill.chunk import ChunkSizing, ChunkState, Piece, chunk_window, windows
from docmill.database import Sync
from docmill.errors import WARNINGS
from docmill.job_queue import Part
from docmill.model import Chunk, Job, Notice
from docmill.workplace import Following, Work, Workplace

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
            documents.keep_chunks(connection, self.job, chunks)
            documents.advance(connection, self.job, chunks=len(chunks))

    def finish(self, chunks: list[Chunk]) -> Following | None:
        """Commit the last window, the end of the job, and what follows: embedding, or the end."""
        total = self.state.next_ordinal
        with self.place.database.commit("finish_chunk") as connection:
            job_queue.finish(connection, self.job, done=total)
            documents.keep_chunks(connection, self.job, chunks)
            if total == 0:
                self._end_without_text(connection)
                return None
            documents.advance(
                connection, self.job, chunks=len(chunks), chunks_total=total, stage="embed"
            )
            return self._follow(connection, list(chunk_ranges(total)))

    def _end_without_text(self, connection: Sync) -> None:
        """Nothing to embed: the document ends here, with a warning that users see."""
        notice = Notice("NO_TEXT", WARNINGS["NO_TEXT"])
        documents.advance(connection, self.job, chunks_total=0, notices=[notice])
        documents.complete(connection, self.job)

    def _follow(self, connection: Sync, parts: list[Part]) -> Following | None:
        if len(parts) > 1:
            job_queue.enqueue(connection, self.job, "embed", parts)
            return None
        job = job_queue.enqueue_taken(connection, self.job, "embed", parts[0], self.place.claimant)
        return Following(job, chunks=self.handed_on) if job else None


def run(place: Workplace, work: Work) -> Following | None:
    """Cut all pages that no earlier attempt has cut; returns the embed job where there is one.

    Raises:
        Stopped: the work was told to stop; what was committed stays.
    """
    cutting = Cutting(place, work.job)
    pages = (
        iter(work.pages)
        if work.pages is not None
        else documents.read_pages(place.database, work.job, after=cutting.state.page)
    )
    last: list[Chunk] = []
    for window, is_last in with_last(windows(pages, cutting.state.skip)):
        work.go_on()
        last = cutting.cut(window)
        if not is_last:
            cutting.commit(last)
    return cutting.finish(last)


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
