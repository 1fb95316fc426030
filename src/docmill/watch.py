"""Wait until a document changes, for many who wait and at the cost of one query for all.

A waiting request holds no connection. While somebody waits, one task reads the versions of all
documents that are waited for, a few times a second; while nobody does, it does nothing.
"""

import asyncio
import logging
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from docmill import status
from docmill.database import ApiDatabase

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 0.1

Waited = tuple[UUID, UUID]  # owner, document


class VersionWatch:
    """Tells who waits for a document that its version is another one."""

    def __init__(self, database: ApiDatabase) -> None:
        self._database = database
        self._waiting: dict[Waited, dict[asyncio.Event, int]] = {}
        self._task: asyncio.Task[None] | None = None

    async def changed(self, owner: UUID, document: UUID, version: int, seconds: float) -> bool:
        """Whether the document's version differs from `version` within so many seconds.

        A document that is gone has changed.
        """
        event = asyncio.Event()
        self._waiting.setdefault((owner, document), {})[event] = version
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._forget((owner, document), event)

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _forget(self, waited: Waited, event: asyncio.Event) -> None:
        events = self._waiting.get(waited, {})
        events.pop(event, None)
        if not events:
            self._waiting.pop(waited, None)

    async def _look(self) -> None:
        while self._waiting:
            for owner in {owner for owner, _ in self._waiting}:
                await self._look_for(owner)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _look_for(self, owner: UUID) -> None:
        ids = [document for of, document in self._waiting if of == owner]
        try:
            async with self._database.reading(owner) as connection:
                versions = await status.read_versions(connection, ids)
        except (psycopg.Error, PoolTimeout) as error:
            log.debug("nothing is known of the versions: %s", error)
            return
        for document in ids:
            for event, known in self._waiting.get((owner, document), {}).items():
                if versions.get(document) != known:
                    event.set()
