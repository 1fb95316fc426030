"""What owners do with their webhooks: add, change, delete, try, look at the log, replay.

Each change is one transaction. An unknown id is NOT_FOUND in all of them, another owner's too.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from docmill import events, job_queue, outgoing, webhook_signing
from docmill.database import ApiDatabase, Async, Row, Statements, every, one
from docmill.errors import Problem
from docmill.outgoing import Reach, Refused

STATEMENTS = Statements("webhooks")
QUEUE = job_queue.STATEMENTS

MOST_WEBHOOKS = 20
# How long a name may take to be resolved while somebody waits for the answer.
RESOLVE_SECONDS = 5.0
# Threads of their own: names that are slow to resolve hold up no search.
RESOLVERS = ThreadPoolExecutor(4, thread_name_prefix="resolver")
# How long a secret that was replaced signs beside its successor.
OVERLAP_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Change:
    """What of a webhook changes; None stays as it is."""

    url: str | None = None
    events: Sequence[str] | None = None
    description: str | None = None
    enabled: bool | None = None

    def parameters(self) -> dict[str, Any]:
        """What `change_webhook` takes."""
        return {
            "url": self.url,
            "events": None if self.events is None else list(self.events),
            "description": self.description,
            "enabled": self.enabled,
        }


class Webhooks:
    """One owner's webhooks."""

    def __init__(self, database: ApiDatabase, owner: UUID, reach: Reach) -> None:
        self._database = database
        self._owner = owner
        self._reach = reach

    async def add(self, url: str, wanted: Sequence[str], description: str) -> tuple[UUID, str]:
        """Add a webhook; its id, and its secret, which nobody can read again.

        Raises:
            Problem: WEBHOOK_URL_REFUSED, TOO_MANY_WEBHOOKS.
        """
        await check(url, self._reach)
        secret = webhook_signing.new_secret()
        async with self._database.commit(self._owner, "change_webhook") as connection:
            row = await one(
                connection,
                STATEMENTS.add_webhook,
                {
                    "url": url,
                    "events": list(wanted),
                    "description": description,
                    "most": MOST_WEBHOOKS,
                },
            )
            if row is None:
                raise Problem(
                    "TOO_MANY_WEBHOOKS",
                    f"An owner may have {MOST_WEBHOOKS}. Delete one that is not needed.",
                )
            added: UUID = row["id"]
            await connection.execute(STATEMENTS.add_secret, {"id": added, "secret": secret})
        return added, webhook_signing.shown(secret)

    async def change(self, webhook_id: UUID, change: Change) -> None:
        """Change a webhook. One that is enabled again, or led elsewhere, is tried at once.

        Raises:
            Problem: NOT_FOUND, WEBHOOK_URL_REFUSED.
        """
        await self.find(webhook_id)  # whoever asks for another's learns nothing about URLs either
        if change.url is not None:
            await check(change.url, self._reach)
        which = {"id": webhook_id}
        async with self._database.commit(self._owner, "change_webhook") as connection:
            await _lock(connection, webhook_id)
            await connection.execute(STATEMENTS.change_webhook, {**which, **change.parameters()})
            if change.url is not None or change.enabled:
                await connection.execute(STATEMENTS.forget_failures, which)
                await connection.execute(STATEMENTS.hurry_deliveries, which)
                await connection.execute(QUEUE.wake_workers)

    async def delete(self, webhook_id: UUID) -> None:
        """Delete a webhook with its log; what was to be sent to it is not sent."""
        async with self._database.commit(self._owner, "change_webhook") as connection:
            if await one(connection, STATEMENTS.delete_webhook, {"id": webhook_id}) is None:
                raise not_found()

    async def rotate_secret(self, webhook_id: UUID) -> str:
        """A new secret; the one before signs as well for a day."""
        secret = webhook_signing.new_secret()
        which = {"id": webhook_id}
        async with self._database.commit(self._owner, "change_webhook") as connection:
            await _lock(connection, webhook_id)
            ending = {**which, "overlap": OVERLAP_SECONDS}
            await connection.execute(STATEMENTS.end_secrets, ending)
            await connection.execute(STATEMENTS.add_secret, {**which, "secret": secret})
        return webhook_signing.shown(secret)

    async def test(self, webhook_id: UUID) -> UUID:
        """Have an event sent that is about no document; the delivery's id.

        Raises:
            Problem: NOT_FOUND, WEBHOOK_DISABLED.
        """
        async with self._database.commit(self._owner, "queue_delivery") as connection:
            await _lock_enabled(connection, webhook_id)
            row = await one(
                connection, STATEMENTS.add_test, {"id": webhook_id, "event": events.TEST}
            )
            await connection.execute(STATEMENTS.forget_failures, {"id": webhook_id})
            await connection.execute(QUEUE.wake_workers)
        if row is None:
            raise not_found()
        delivery_id: UUID = row["id"]
        return delivery_id

    async def replay(self, webhook_id: UUID, delivery_id: UUID) -> None:
        """Have a delivery sent again, whatever became of it, under the same id.

        Raises:
            Problem: NOT_FOUND, WEBHOOK_DISABLED.
        """
        which = {"id": webhook_id, "delivery_id": delivery_id}
        async with self._database.commit(self._owner, "queue_delivery") as connection:
            # First the rows as they are: an unknown delivery is not found, enabled or not.
            await _log(connection, webhook_id, delivery_id=delivery_id)
            await _lock_enabled(connection, webhook_id)
            await connection.execute(STATEMENTS.replay_delivery, which)
            await connection.execute(STATEMENTS.forget_failures, {"id": webhook_id})
            await connection.execute(QUEUE.wake_workers)

    async def all(self) -> list[Row]:
        """All webhooks, without their secrets."""
        async with self._database.reading(self._owner) as connection:
            return await every(connection, STATEMENTS.list_webhooks, {"id": None})

    async def find(self, webhook_id: UUID) -> Row:
        """One webhook."""
        async with self._database.reading(self._owner) as connection:
            return await _find(connection, webhook_id)

    async def read_log(
        self, webhook_id: UUID, *, limit: int, place: tuple[datetime, UUID] | None = None
    ) -> list[Row]:
        """Deliveries with their latest attempts, newest first, behind a place in the log."""
        async with self._database.reading(self._owner) as connection:
            await _find(connection, webhook_id)
            at, behind = place or (None, None)
            return await every(
                connection,
                STATEMENTS.list_deliveries,
                {
                    "id": webhook_id,
                    "delivery_id": None,
                    "place_at": at,
                    "place_id": behind,
                    "limit": limit,
                },
            )

    async def find_delivery(self, webhook_id: UUID, delivery_id: UUID) -> Row:
        """One delivery of the log."""
        async with self._database.reading(self._owner) as connection:
            return await _log(connection, webhook_id, delivery_id=delivery_id)


async def check(url: str, reach: Reach) -> None:
    """Look whether a webhook may lead there. It is looked at again whenever something is sent.

    Raises:
        Problem: WEBHOOK_URL_REFUSED.
    """
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            await asyncio.get_running_loop().run_in_executor(RESOLVERS, outgoing.check, url, reach)
    except TimeoutError as error:
        raise Problem("WEBHOOK_URL_REFUSED", "Its name could not be resolved in time.") from error
    except Refused as refused:
        raise Problem("WEBHOOK_URL_REFUSED", str(refused)) from refused


def not_found() -> Problem:
    """The same answer for an id that never was, one that is gone and one of another owner."""
    return Problem("NOT_FOUND", "There is no such webhook or delivery.")


async def _find(connection: Async, webhook_id: UUID) -> Row:
    row = await one(connection, STATEMENTS.list_webhooks, {"id": webhook_id})
    if row is None:
        raise not_found()
    return row


async def _log(connection: Async, webhook_id: UUID, *, delivery_id: UUID) -> Row:
    which = {"id": webhook_id, "delivery_id": delivery_id}
    place = {"place_at": None, "place_id": None, "limit": 1}
    row = await one(connection, STATEMENTS.list_deliveries, {**which, **place})
    if row is None:
        raise not_found()
    return row


async def _lock(connection: Async, webhook_id: UUID) -> Row:
    row = await one(connection, STATEMENTS.lock_webhook, {"id": webhook_id})
    if row is None:
        raise not_found()
    return row


async def _lock_enabled(connection: Async, webhook_id: UUID) -> None:
    row = await _lock(connection, webhook_id)
    if row["disabled_reason"] is not None:
        raise Problem(
            "WEBHOOK_DISABLED",
            'Nothing is sent to it. Enable it first: PATCH with {"enabled": true}.',
        )
