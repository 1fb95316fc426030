"""Tell how documents stand: an owner's who are asked for at one moment, at the cost of one query.

Whoever asks while nobody else of the owner's does is answered at once. Whoever comes while a query
is on its way waits for its end, and for the next one, which asks for all that have come meanwhile:
no answer is older than its question. So the busier a server is, the less each status costs it.
"""

import asyncio
from itertools import islice
from typing import Any
from uuid import UUID

from docmill import status
from docmill.database import ApiDatabase

# More than that are asked for in turns: one query of many would let all of them wait.
MOST_TOGETHER = 100

Shown = dict[str, Any] | None
Waiting = dict[UUID, list[asyncio.Future[Shown]]]


class Statuses:
    """The statuses of documents, for one API process. Owners do not wait for each other."""

    def __init__(self, database: ApiDatabase) -> None:
        self._database = database
        self._asking: set[UUID] = set()
        self._waiting: dict[UUID, Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def of(self, owner: UUID, document_id: UUID) -> Shown:
        """The body of a document's status, not to be changed; None where there is no such.

        Raises:
            psycopg.Error, PoolTimeout: nobody knows.
        """
        if owner in self._asking:
            answer: asyncio.Future[Shown] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(owner, {}).setdefault(document_id, []).append(answer)
            return await answer
        self._asking.add(owner)
        try:
            return (await status.read_of(self._database, owner, [document_id])).get(document_id)
        finally:
            self._ask_for_those_who_came(owner)

    def _ask_for_those_who_came(self, owner: UUID) -> None:
        came = self._waiting.get(owner)
        if not came:
            self._asking.discard(owner)
            return
        together = {document_id: came[document_id] for document_id in islice(came, MOST_TOGETHER)}
        for document_id in together:
            del came[document_id]
        if not came:
            del self._waiting[owner]
        task = asyncio.create_task(self._ask(owner, together))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, owner: UUID, together: Waiting) -> None:
        answers = [answer for answers in together.values() for answer in answers]
        try:
            shown = await status.read_of(self._database, owner, list(together))
        except Exception as error:  # noqa: BLE001 - it is for those who wait
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for document_id, waiting in together.items():
                for answer in waiting:
                    if not answer.done():
                        answer.set_result(shown.get(document_id))
        finally:
            for answer in answers:
                answer.cancel()  # nobody waits for what was not answered
            self._ask_for_those_who_came(owner)
