"""The status of a document: committed rows in, the body that users see out.

`read` asks, `shown` is the pure function between a row and the JSON of the contract.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from docmill import job_queue, progress
from docmill.database import ApiDatabase, Async, Row, Statements, every
from docmill.lifecycle import ENDED, STAGES
from docmill.progress import Count

STATEMENTS = Statements("status")

# Positions in line are counted as far as this; it stands for itself and all behind it. Who sends
# thousands of files pays for the counting with each of them: to 1,000 it took half of what the
# database did for an upload. Page and commands have the same number (words.js, client_words.py).
LINE_END = 200
# The lines as PostgreSQL spells them: spelt once, and not for each status.
SPELT_LINES = {
    name: "{" + ",".join(map(str, values)) + "}"
    for name, values in cast("dict[str, list[Any]]", job_queue.LINES).items()
}
# Below this much of the work nothing can be said about how long the rest takes.
ETA_FROM_PERCENT = 1.0
# (age of the document in seconds, when to ask again): quick at first, patient later.
ASK_AGAIN = ((10, 1), (60, 2), (600, 5))
ASK_AGAIN_LATER = 15


async def read(connection: Async, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """The statuses of these documents, newest first; those that are not there are left out."""
    return [shown(row) for row in await every(connection, STATEMENTS.read_status, _told(None, ids))]


async def read_of(
    database: ApiDatabase, owner: UUID, ids: Sequence[UUID]
) -> dict[UUID, dict[str, Any]]:
    """The statuses of these documents of an owner by their ids, in a transaction of their own."""
    rows = await database.asked(STATEMENTS.read_status, _told(owner, ids))
    return {row["id"]: shown(row) for row in rows}


async def read_position(connection: Async, document_id: UUID) -> int:
    """The place in line of a document that has just come; LINE_END is that and all behind it."""
    cursor = await connection.execute(
        STATEMENTS.read_position, {"document_id": document_id, "line_end": LINE_END, **SPELT_LINES}
    )
    row = await cursor.fetchone()
    return int(row["position"]) if row and row["position"] else LINE_END


async def read_versions(connection: Async, ids: Sequence[UUID]) -> dict[UUID, int]:
    """The versions of these documents; those that are not there are left out."""
    cursor = await connection.execute(STATEMENTS.read_versions, {"ids": list(ids)})
    return {row["id"]: row["version"] for row in await cursor.fetchall()}


def _told(asking: UUID | None, ids: Sequence[UUID]) -> dict[str, Any]:
    return {"asking": asking, "ids": list(ids), "line_end": LINE_END, **SPELT_LINES}


def shown(row: Row) -> dict[str, Any]:
    """The body of a status, from the row of `read_status`."""
    counts = {
        "parse": Count(row["pages_done"], row["pages_total"]),
        "chunk": Count(row["chunks_done"], row["chunks_total"]),
        "embed": Count(row["embedded_done"], row["chunks_total"]),
    }
    status = row["status"]
    waits = status == "processing" and not row["running"]
    return {
        "document_id": str(row["id"]),
        "filename": row["filename"],
        "size": row["size"],
        "media_type": row["media_type"],
        "collection": row["collection"],
        "status": status,
        "stage": row["stage"],
        "done": status in ENDED,
        "version": row["version"],
        "generation": row["generation"],
        "searchable": row["serving"] is not None,
        "progress": progress.shown(counts, status),
        "queue_position": row["position"] if status == "queued" else None,
        "eta_seconds": _eta_seconds(row, progress.percent(counts, status)),
        "attempt": row["attempt"] or 0,
        "max_attempts": row["max_attempts"],
        "next_attempt_at": shown_time(row["next_run_at"]) if waits else None,
        "error": row["error"] or (row["waiting_error"] if waits else None),
        "warnings": row["warnings"],
        "created_at": shown_time(row["created_at"]),
        "started_at": shown_time(row["started_at"]),
        "stages": _stages(row),
        "completed_at": shown_time(row["completed_at"]),
    }


def ask_again_seconds(created_at: str, now: datetime) -> int:
    """When to look at an unfinished document again, by its age."""
    age = (now - datetime.fromisoformat(created_at)).total_seconds()
    return next((pause for limit, pause in ASK_AGAIN if age < limit), ASK_AGAIN_LATER)


def _stages(row: Row) -> dict[str, Any]:
    return {
        stage: {
            "started_at": shown_time(row[f"{stage}_started_at"]),
            "completed_at": shown_time(row[f"{stage}_completed_at"]),
        }
        for stage in STAGES
        if row[f"{stage}_started_at"] is not None
    }


def _eta_seconds(row: Row, percent: float) -> float | None:
    """How long the rest takes at the pace so far, measured up to the last commit.

    Both times are committed ones, so the number changes with a commit and not while one looks.
    """
    if row["status"] != "processing" or not row["running"] or percent < ETA_FROM_PERCENT:
        return None
    elapsed: float = (row["changed_at"] - row["started_at"]).total_seconds()
    return round(elapsed * (100.0 - percent) / percent, 1)


def shown_time(value: datetime | None) -> str | None:
    """A time as the API shows it: UTC, microseconds, `Z`."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
