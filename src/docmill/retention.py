"""What goes by itself, so that a docmill that is left alone does not grow but with its documents.

Two ways, both little by little. `prune` drops what is too old, by an index of ages. `sweep` walks
what was done more than once, a slice at a time, and drops what others have followed: passages and
pages of generations that neither serve nor are the newest, their jobs, and attempts before the last
one. What stays, and how long, is told in docs/retention.md.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Self
from uuid import UUID

from docmill.config import Settings
from docmill.database import Row, Statements, Sync

STATEMENTS = Statements("retention")

# How many documents and jobs one commit looks at, and how many rows it drops at most of each kind.
SLICE_DOCUMENTS = 200
SLICE_JOBS = 500
BATCH = 1000
# The wait between two slices, over all workers; none as long as there is a lot to drop.
PAUSE_SECONDS = 10.0

# What is dropped by age, by the table it lies in. Uploads go before the bytes they let go of.
BY_AGE = {
    "uploads": STATEMENTS.end_expired_uploads,
    "file_parts": STATEMENTS.prune_parts,
    "files": STATEMENTS.prune_files,
    "idempotent_requests": STATEMENTS.prune_requests,
    "browser_sessions": STATEMENTS.prune_sessions,
    "paid_embeddings": STATEMENTS.prune_paid,
    "webhook_deliveries": STATEMENTS.prune_deliveries,
    "webhook_secrets": STATEMENTS.prune_secrets,
    "workers": STATEMENTS.prune_workers,
    "operator_actions": STATEMENTS.prune_operator_actions,
}


@dataclass(frozen=True, slots=True)
class Keep:
    """How long what is kept, in days."""

    history_days: int
    webhook_log_days: int
    operator_log_days: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        return cls(
            settings.keep_history_days,
            settings.keep_webhook_log_days,
            settings.keep_operator_log_days,
        )


FIRST_DOCUMENT, LAST_DOCUMENT = UUID(int=0), UUID(int=2**128 - 1)
FIRST_JOB, LAST_JOB = 0, 2**63 - 1


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which document and which job a sweep goes on."""

    document_id: UUID = FIRST_DOCUMENT
    job_id: int = FIRST_JOB

    @property
    def is_the_end(self) -> bool:
        """Whether nothing is left to look at."""
        return (self.document_id, self.job_id) == (LAST_DOCUMENT, LAST_JOB)


def prune(connection: Sync, keep: Keep) -> Counter[str]:
    """Drop a batch of everything that is too old; how many rows of which table."""
    told = asdict(keep)
    return +Counter(
        {table: connection.execute(drop, told).rowcount for table, drop in BY_AGE.items()}
    )


def sweep_in_turn(connection: Sync, keep: Keep) -> None:
    """Sweep the next slice, where it is time for one and nobody else does."""
    turn = connection.execute(STATEMENTS.take_turn).fetchone()
    if turn is None:
        return
    place, dropped = sweep(connection, keep, Place(**turn))
    if place.is_the_end:
        place = Place()
    pause = 0.0 if dropped.total() >= BATCH else PAUSE_SECONDS
    connection.execute(STATEMENTS.give_turn, {**asdict(place), "pause": pause})


def sweep(connection: Sync, keep: Keep, place: Place) -> tuple[Place, Counter[str]]:
    """Drop what is left over in the next slice of documents and of jobs.

    Returns:
        Where to go on; how many rows of which table went.
    """
    connection.execute(STATEMENTS.hold_turn)
    dropped: Counter[str] = Counter()
    document_id = _sweep_documents(connection, keep, place.document_id, dropped)
    job_id = _sweep_jobs(connection, keep, place.job_id, dropped)
    return Place(document_id, job_id), dropped


def count(connection: Sync, keep: Keep) -> dict[str, int]:
    """How many rows of which table would go now. Reads whole tables."""
    row = connection.execute(STATEMENTS.count, asdict(keep)).fetchone()
    return dict(row or {})


def _sweep_documents(connection: Sync, keep: Keep, place: UUID, dropped: Counter[str]) -> UUID:
    seen = connection.execute(
        STATEMENTS.look_at_documents,
        {**asdict(keep), "place": place, "most": SLICE_DOCUMENTS},
    ).fetchall()
    for row in seen:
        if row["has_leftovers"]:
            dropped.update(_drop_old_generations(connection, keep, row["id"]))
            if dropped.total() >= BATCH:
                return place
        place = row["id"]
    return place if len(seen) == SLICE_DOCUMENTS else LAST_DOCUMENT


def _drop_old_generations(connection: Sync, keep: Keep, document_id: UUID) -> Counter[str]:
    dropped: Counter[str] = Counter()
    which = {"document_id": document_id}
    held = connection.execute(STATEMENTS.hold_document, which).fetchone()
    for above, below in _stale(held):
        told = {**which, **asdict(keep), "above": above, "below": below, "most": BATCH}
        dropped["chunks"] += connection.execute(STATEMENTS.drop_old_chunks, told).rowcount
        dropped["pages"] += connection.execute(STATEMENTS.drop_old_pages, told).rowcount
        jobs = connection.execute(STATEMENTS.hold_old_jobs, told).fetchall()
        dropped["job_attempts"] += _drop_attempts(connection, keep, jobs)
        dropped["processing_jobs"] += connection.execute(
            STATEMENTS.drop_jobs, {"jobs": [job["id"] for job in jobs]}
        ).rowcount
    return dropped


def _stale(held: Row | None) -> Iterator[tuple[int, int]]:
    """Between which generations lie those that neither serve nor are the newest."""
    if held is not None:
        yield 0, held["low"]
        yield held["low"], held["generation"]


def _sweep_jobs(connection: Sync, keep: Keep, place: int, dropped: Counter[str]) -> int:
    seen = connection.execute(
        STATEMENTS.look_at_jobs, {**asdict(keep), "place": place, "most": SLICE_JOBS}
    ).fetchall()
    attempts = _drop_attempts(connection, keep, [row for row in seen if row["has_leftovers"]])
    dropped["job_attempts"] += attempts
    if attempts >= BATCH:
        return place
    return seen[-1]["id"] if len(seen) == SLICE_JOBS else LAST_JOB


def _drop_attempts(connection: Sync, keep: Keep, jobs: list[Row]) -> int:
    told: dict[str, Any] = {
        **asdict(keep),
        "jobs": [job["id"] for job in jobs],
        "before": [job["before"] for job in jobs],
        "most": BATCH,
    }
    return connection.execute(STATEMENTS.drop_attempts, told).rowcount
