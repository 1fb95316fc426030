"""The embed stage: turn passages into vectors, a batch and a commit at a time."""

import numpy as np
from numpy.typing import NDArray

from docmill import documents, embedding_service, job_queue
from docmill.model import Job
from docmill.workplace import Work, Workplace

CHUNKS_PER_COMMIT = 128


def run(place: Workplace, work: Work) -> None:
    """Embed the job's range of passages; the last range completes the document.

    Raises:
        Failure: the embedder can't be reached, refuses, or answers nonsense.
        Stopped: the work was told to stop; what was committed stays.
    """
    texts = _texts(place, work)
    batches = [texts[at : at + CHUNKS_PER_COMMIT] for at in range(0, len(texts), CHUNKS_PER_COMMIT)]
    done = work.job.done
    for batch in batches[:-1]:
        done += len(batch)
        _embed(place, work, batch, done, is_last=False)
    last = batches[-1] if batches else []
    _embed(place, work, last, done + len(last), is_last=True)


def _embed(
    place: Workplace, work: Work, batch: list[tuple[int, str]], done: int, *, is_last: bool
) -> None:
    """Embed one batch and commit it, with the end of the job where it is the last one."""
    work.go_on()
    job = work.job
    vectors = _vectors(place, job, [text for _, text in batch])
    ordinals = [ordinal for ordinal, _ in batch]
    with place.database.commit("finish_embed" if is_last else "keep_embeddings") as connection:
        if is_last:
            job_queue.finish(connection, job, done=done)
        else:
            job_queue.checkpoint(
                connection, job, done=done, lease_seconds=place.claimant.lease_seconds
            )
        documents.keep_embeddings(connection, job, place.model_id, ordinals, vectors)
        documents.advance(connection, job, embedded=len(batch))
        if is_last and job_queue.unfinished_parts(connection, job, "embed") == 0:
            documents.complete(connection, job)


def _vectors(place: Workplace, job: Job, texts: list[str]) -> NDArray[np.float32]:
    if place.embedder.batch is None:
        return place.embedder.embed(texts)
    return embedding_service.embed(place.database, place.embedder, place.model_id, job, texts)


def _texts(place: Workplace, work: Work) -> list[tuple[int, str]]:
    """Ordinal and text of what no earlier attempt has embedded."""
    span = work.job.span or {"first": 0, "last": -1}
    first = span["first"] + work.job.done
    if work.chunks is not None:
        return [(chunk.ordinal, chunk.text) for chunk in work.chunks if chunk.ordinal >= first]
    return documents.read_chunks(place.database, work.job, first, span["last"])
