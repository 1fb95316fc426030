"""What an operator sees of the whole service, and what an operator may do to it.

Reading goes over all owners, by functions that the API's role may call and whose rows it could not
see itself. Whoever calls here has decided that the asker is an operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from docmill.control import Control
from docmill.database import ApiDatabase, Async, Row, Statements, every, one
from docmill.errors import Problem
from docmill.status import shown_time

STATEMENTS = Statements("operations")

LOG_LINES = 20
# One request retries no more, so that it ends before a proxy loses patience.
RETRIED_AT_ONCE = 200
# Between two retries of one request a document may have been deleted, or retried by its owner.
OVERTAKEN = frozenset({"NOT_FOUND", "DOCUMENT_NOT_FAILED"})


async def overview(connection: Async, *, lease_seconds: float, minutes: int) -> dict[str, Any]:
    """The whole service at one moment, and its queue over so many minutes before."""
    return {
        "stages": await _rows(connection, STATEMENTS.read_stages),
        "workers": await _rows(connection, STATEMENTS.read_workers, {"lease": lease_seconds}),
        "failures": await _rows(connection, STATEMENTS.read_failures),
        "owners": await _rows(connection, STATEMENTS.read_owners),
        "services": await _rows(connection, STATEMENTS.read_services),
        "samples": _by_subject(
            await _rows(connection, STATEMENTS.read_samples, {"minutes": minutes})
        ),
        "actions": await _rows(connection, STATEMENTS.read_log, {"most": LOG_LINES}),
    }


def _by_subject(samples: list[dict[str, Any]]) -> dict[str, list[list[Any]]]:
    """Samples as columns: what is asked for every few seconds should not repeat its names."""
    found: dict[str, list[list[Any]]] = {}
    for sample in samples:
        row = [sample[name] for name in SAMPLE_COLUMNS]
        found.setdefault(sample["subject"], []).append(row)
    return found


SAMPLE_COLUMNS = ("at", "waiting", "running", "oldest_seconds", "finished", "failed")


async def _rows(
    connection: Async, statement: bytes, parameters: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    return [_shown(row) for row in await every(connection, statement, parameters)]


def _shown(row: Row) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return shown_time(value)
    return str(value) if isinstance(value, UUID) else value


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a stage may run at once; None for any number. Paused: nothing is begun."""

    paused: bool
    max_running: int | None


@dataclass(frozen=True, slots=True)
class Retried:
    """What a bulk retry did: asked again with the same `before`, it goes on if there `is_more`."""

    documents: int
    is_more: bool
    before: datetime


class Operations:
    """The acts of one operator. Each is written down with who did it."""

    def __init__(self, database: ApiDatabase, operator: str, owner: UUID) -> None:
        self._database = database
        self._operator = operator
        self._owner = owner

    async def limit(
        self, stage: str, *, paused: bool | None, max_running: int | None, keep_limit: bool
    ) -> Limit:
        """Pause or limit a stage; what is not said stays as it is."""
        async with self._database.commit(self._owner, "operate") as connection:
            before = await _one(connection, STATEMENTS.read_limit, {"stage": stage})
            after = Limit(
                before["paused"] if paused is None else paused,
                before["max_running"] if keep_limit else max_running,
            )
            await connection.execute(
                STATEMENTS.limit_stage,
                {
                    "operator": self._operator,
                    "stage": stage,
                    "paused": after.paused,
                    "max_running": after.max_running,
                },
            )
        return after

    async def drain(self, worker: str, *, drain: bool) -> None:
        """Let a worker finish what it holds and claim nothing more, or let it on again.

        Raises:
            Problem: WORKER_UNKNOWN.
        """
        async with self._database.commit(self._owner, "operate") as connection:
            row = await _one(
                connection,
                STATEMENTS.drain_worker,
                {"operator": self._operator, "worker": worker, "drain": drain},
            )
        if not row["done"]:
            raise Problem("WORKER_UNKNOWN", "There is no such worker any more. Look again.")

    async def retry(self, code: str, stage: str, before: datetime | None) -> Retried:
        """Retry documents that failed for this reason before a moment, oldest failure first.

        Without a moment it is now, by the database's clock.
        """
        async with self._database.commit(self._owner, "operate") as connection:
            moment = await _one(connection, STATEMENTS.moment, {"before": before})
            cursor = await connection.execute(
                STATEMENTS.begin_retry,
                {
                    "operator": self._operator,
                    "code": code,
                    "stage": stage,
                    "before": moment["before"],
                    "most": RETRIED_AT_ONCE,
                },
            )
            failed = await cursor.fetchall()
        retried = [await self._retry_one(row) for row in failed]
        return Retried(sum(retried), len(failed) == RETRIED_AT_ONCE, moment["before"])

    async def _retry_one(self, row: Row) -> bool:
        """Retry a document for its owner; False where somebody was quicker."""
        try:
            await Control(self._database, row["owner_id"]).retry(row["id"])
        except Problem as problem:
            if problem.code in OVERTAKEN:
                return False
            raise
        return True


async def _one(connection: Async, statement: bytes, parameters: Mapping[str, Any]) -> Row:
    row = await one(connection, statement, parameters)
    assert row is not None  # noqa: S101 - these statements always give a row
    return row
