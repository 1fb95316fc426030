"""Changes of an owner's documents as they are committed, for many who listen to one look.

A hint only: who missed something sees it by asking. While somebody listens for an owner, one task
looks once a second, and tells each listener what that one has not heard yet.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from docmill.database import ApiDatabase, Row, Statements
from docmill.status import shown_time

log = logging.getLogger(__name__)

STATEMENTS = Statements("changes")

LOOK_AGAIN_SECONDS = 1.0
# Of one owner: the newest, and those in work, if they are more than anybody follows by eye.
NEWEST, IN_WORK = 200, 500


# A listener that is so far behind is let go. It comes again, and is told how things stand then.
MOST_UNHEARD = 100

Told = list[dict[str, Any]]


class Listener:
    """Somebody who is told of changes, at their own pace."""

    def __init__(self) -> None:
        self._news: asyncio.Queue[Told | None] = asyncio.Queue(MOST_UNHEARD)
        self._ended = False

    def tell(self, news: Told) -> None:
        """Tell what is new; who does not listen any more hears that it is over."""
        if self._news.full():
            self.end()
        elif not self._ended:
            self._news.put_nowait(news)

    def end(self) -> None:
        """Tell that there is nothing more to come."""
        while not self._news.empty():
            self._news.get_nowait()
        self._ended = True
        self._news.put_nowait(None)

    async def heard(self) -> AsyncIterator[Told]:
        """What was told, until the end."""
        while (news := await self._news.get()) is not None:
            yield news


class Look:
    """What the task of one owner saw last, and who listens."""

    def __init__(self, database: ApiDatabase, owner: UUID) -> None:
        self.listeners: set[Listener] = set()
        self._database = database
        self._owner = owner
        self._states: dict[UUID, Row] = {}
        self._seen = asyncio.Event()

    async def standing(self) -> Told:
        """How the owner's documents stand, as soon as that is known."""
        await self._seen.wait()
        return [shown(row) for row in self._states.values()]

    async def look(self) -> None:
        """Look once, and tell what changed. A database that is away changes nothing."""
        try:
            async with self._database.reading(self._owner) as connection:
                cursor = await connection.execute(
                    STATEMENTS.read_states,
                    {"newest": NEWEST, "in_work": IN_WORK, "known": list(self._states)},
                )
                rows = await cursor.fetchall()
        except (psycopg.Error, PoolTimeout) as error:
            log.debug("nothing is known of changes: %s", error)
            return
        if self._seen.is_set() and (news := self._news(rows)):
            for listener in self.listeners:
                listener.tell(news)
        self._states = {row["id"]: row for row in rows if row["kept"]}
        self._seen.set()

    def _news(self, rows: list[Row]) -> Told:
        before = {document: row["version"] for document, row in self._states.items()}
        changed = [shown(row) for row in rows if before.get(row["id"]) != row["version"]]
        gone = before.keys() - {row["id"] for row in rows}
        return changed + [{"document_id": str(document), "deleted": True} for document in gone]


class Changes:
    """Tells listeners what changes, for one API process."""

    def __init__(self, database: ApiDatabase) -> None:
        self._database = database
        self._looks: dict[UUID, Look] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self, owner: UUID) -> AsyncIterator[Told]:
        """First how the owner's documents stand, then what changes, as often as something does.

        A document that is gone is `{"document_id": …, "deleted": True}`.
        """
        listener = Listener()
        look = self._look_of(owner)
        look.listeners.add(listener)
        try:
            yield await look.standing()
            async for news in listener.heard():
                yield news
        finally:
            look.listeners.discard(listener)

    def end(self) -> None:
        """Tell all who listen that there is nothing more to come."""
        for look in self._looks.values():
            for listener in look.listeners:
                listener.end()

    async def close(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _look_of(self, owner: UUID) -> Look:
        if owner not in self._looks:
            self._looks[owner] = Look(self._database, owner)
            task = asyncio.create_task(self._keep_looking(owner))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self._looks[owner]

    async def _keep_looking(self, owner: UUID) -> None:
        look = self._looks[owner]
        while look.listeners:
            await look.look()
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        del self._looks[owner]


def shown(row: Row) -> dict[str, Any]:
    """A document's state as listeners are told it."""
    return {
        "document_id": str(row["id"]),
        "status": row["status"],
        "version": row["version"],
        "changed_at": shown_time(row["changed_at"]),
    }
