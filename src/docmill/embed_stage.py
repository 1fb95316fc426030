"""The embed stage: turn passages into vectors, a batch and a commit at a time.

The last batch is embedded and committed by `finish`, with the end of the job. Several jobs share
that, and with it the calls of an embedding service.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docmill import documents, embedding_service, job_queue
from docmill.documents import Growth, Passage
from docmill.model import Job
from docmill.workplace import Ends, Work, Workplace

CHUNKS_PER_COMMIT = 128


@dataclass(frozen=True, slots=True)
class Rest:
    """The last batch of a job, and how many of its passages are embedded with it."""

    job: Job
    passages: list[Passage]
    done: int

    @property
    def rows(self) -> int:
        """Vectors that are not committed yet."""
        return len(self.passages)


def prepare(place: Workplace, work: Work) -> Rest:
    """Embed and commit all of the job's range but its last batch.

    Raises:
        Failure: the embedder can't be reached, refuses, or answers nonsense.
        Stopped: the work was told to stop; what was committed stays.
        LeaseLost: the job is no longer this worker's.
    """
    passages = _passages(place, work)
    done = work.job.done
    while len(passages) > CHUNKS_PER_COMMIT:
        batch, passages = passages[:CHUNKS_PER_COMMIT], passages[CHUNKS_PER_COMMIT:]
        done += len(batch)
        _keep_batch(place, work, batch, done)
    work.go_on()
    return Rest(work.job, passages, done + len(passages))


def finish(place: Workplace, rests: Sequence[Rest]) -> Ends:
    """Embed last batches and commit them with the ends of the jobs, and of documents.

    Raises:
        Failure: as above.
        LeaseLost: a document is no longer in work, or no job this worker's; nothing was committed.
    """
    passages = [passage for rest in rests for passage in rest.passages]
    vectors = _vectors(place, passages)
    with place.database.commit("finish_embed") as connection:
        held = job_queue.finish(connection, [(rest.job, rest.done) for rest in rests])
        ours = [rest for rest in rests if rest.job.id in held]
        kept = np.array([passage.job.id in held for passage in passages], bool)
        documents.keep_embeddings(
            connection,
            place.model_id,
            [passage for passage in passages if passage.job.id in held],
            vectors[kept],
        )
        documents.advance(
            connection, [Growth(rest.job, embedded=len(rest.passages)) for rest in ours]
        )
        unfinished = job_queue.unfinished_parts(connection, [rest.job for rest in ours], "embed")
        whole = [rest.job for rest in ours if rest.job.document_id not in unfinished]
        documents.complete(connection, whole)
    return dict.fromkeys((rest.job.id for rest in ours), None)


def _keep_batch(place: Workplace, work: Work, batch: list[Passage], done: int) -> None:
    """Embed a batch that is not the last, and commit it."""
    work.go_on()
    vectors = _vectors(place, batch)
    with place.database.commit("keep_embeddings") as connection:
        job_queue.checkpoint(
            connection, work.job, done=done, lease_seconds=place.claimant.lease_seconds
        )
        documents.keep_embeddings(connection, place.model_id, batch, vectors)
        documents.advance(connection, [Growth(work.job, embedded=len(batch))])


def _vectors(place: Workplace, passages: Sequence[Passage]) -> NDArray[np.float32]:
    """A row for each passage."""
    if place.embedder.batch is None:
        return place.embedder.embed([passage.text for passage in passages])
    return embedding_service.embed(place.database, place.embedder, place.model_id, passages)


def _passages(place: Workplace, work: Work) -> list[Passage]:
    """What no earlier attempt has embedded."""
    span = work.job.span or {"first": 0, "last": -1}
    first = span["first"] + work.job.done
    if work.chunks is not None:
        return [
            Passage(work.job, chunk.ordinal, chunk.text)
            for chunk in work.chunks
            if chunk.ordinal >= first
        ]
    return documents.read_chunks(place.database, work.job, first, span["last"])
