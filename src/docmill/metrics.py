"""What the database tells of docmill as a whole: the queue now, and all that has ended so far.

All of it is true of one moment. What was claimed is what has ended and what still runs, so the
counts never contradict each other, whichever machine is asked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import Metric as Family

from docmill.database import Async, Row, Statements, every, one
from docmill.measures import Samples, Spread, family, histogram

STATEMENTS = Statements("metrics")
WORKERS = Statements("workers")

STAGES = ("parse", "chunk", "embed")
UNITS = {
    "docmill_pages_total": "parse",
    "docmill_chunks_total": "chunk",
    "docmill_embedded_chunks_total": "embed",
    "docmill_embedding_texts_total": "embedding",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of the database in one moment."""

    queue: Sequence[Row]
    deliveries: Row
    workers: Row
    tallies: Sequence[Row]
    bounds: tuple[float, ...]
    service_paused: bool
    tick_seconds: float | None


async def read(connection: Async, lease_seconds: float) -> Seen:
    """Read it, in the caller's transaction."""
    workers = await _one(connection, STATEMENTS.read_workers, {"lease": lease_seconds})
    bounds = await _one(connection, STATEMENTS.read_bounds)
    service = await _one(connection, STATEMENTS.read_service)
    tick = await one(connection, WORKERS.last_tick, {})
    return Seen(
        queue=await every(connection, STATEMENTS.read_queue),
        deliveries=await _one(connection, STATEMENTS.read_deliveries),
        workers=workers,
        tallies=await every(connection, STATEMENTS.read_tallies),
        bounds=tuple(bounds["bounds"]),
        service_paused=service["paused"],
        tick_seconds=tick["seconds"] if tick else None,
    )


async def _one(
    connection: Async, statement: bytes, parameters: Mapping[str, Any] | None = None
) -> Row:
    row = await one(connection, statement, parameters or {})
    assert row is not None  # noqa: S101 - these statements always give a row
    return row


def families(seen: Seen | None) -> Iterator[Family]:
    """What is told of it; with None only that the database told nothing."""
    yield family("docmill_database_up", {(): seen is not None})
    if seen is not None:
        yield from _now(seen)
        yield from _ended(seen)


def _now(seen: Seen) -> Iterator[Family]:
    states = ("due", "later", "running")
    jobs: Samples = {(row["stage"], state): row[state] for row in seen.queue for state in states}
    yield family("docmill_jobs", jobs)
    ages: Samples = {(row["stage"],): row["oldest_seconds"] for row in seen.queue}
    yield family("docmill_oldest_due_job_age_seconds", ages)
    yield family("docmill_stage_paused", {(row["stage"],): row["paused"] for row in seen.queue})
    yield family("docmill_workers", {(state,): n for state, n in seen.workers.items()})
    yield family("docmill_webhook_deliveries", {(k,): n for k, n in seen.deliveries.items()})
    yield family("docmill_embedding_service_paused", {(): seen.service_paused})
    if seen.tick_seconds is not None:
        yield family("docmill_last_tick_age_seconds", {(): seen.tick_seconds})


def _ended(seen: Seen) -> Iterator[Family]:
    attempts = [row for row in seen.tallies if row["subject"] in STAGES]
    documents = [row for row in seen.tallies if row["subject"] == "document"]
    webhooks = [row for row in seen.tallies if row["subject"] == "webhook"]
    calls = [row for row in seen.tallies if row["subject"] == "embedding"]

    started = _sums(attempts, lambda row: (row["subject"],))
    for row in seen.queue:
        started[(row["stage"],)] += row["running"]
    yield family("docmill_attempts_started_total", started)
    ends = _sums(attempts, lambda row: (row["subject"], row["outcome"], row["reason"]))
    yield family("docmill_attempts_ended_total", ends)
    of_documents = _sums(documents, lambda row: (row["outcome"], row["reason"]))
    yield family("docmill_documents_ended_total", of_documents)
    answers = _sums(webhooks, lambda row: (row["outcome"],))
    yield family("docmill_webhook_attempts_total", answers)
    for name, subject in UNITS.items():
        units = sum(row["units"] for row in seen.tallies if row["subject"] == subject)
        yield family(name, {(): units})

    went_well = [row for row in attempts if row["outcome"] == "succeeded"]
    completed = [row for row in documents if row["outcome"] == "completed"]
    for name, rows, labels in (
        ("docmill_attempt_seconds", went_well, lambda row: (row["subject"],)),
        ("docmill_document_seconds", completed, lambda _: ()),
        ("docmill_webhook_attempt_seconds", webhooks, lambda row: (row["outcome"],)),
        ("docmill_embedding_call_seconds", calls, lambda _: ()),
    ):
        yield histogram(name, seen.bounds, _spreads(rows, labels, len(seen.bounds)))


Labels = Callable[[Row], tuple[str, ...]]


def _sums(rows: Iterable[Row], labels: Labels) -> dict[tuple[str, ...], float]:
    sums: dict[tuple[str, ...], float] = defaultdict(int)
    for row in rows:
        sums[labels(row)] += row["n"]
    return sums


def _spreads(rows: Iterable[Row], labels: Labels, bounds: int) -> dict[tuple[str, ...], Spread]:
    spreads: dict[tuple[str, ...], Spread] = {}
    for row in rows:
        spread = spreads.setdefault(labels(row), Spread([0] * (bounds + 1)))
        spread.counts[row["bucket"]] += row["n"]
        spread.micros += row["micros"]
    return spreads
