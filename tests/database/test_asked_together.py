"""Statuses that are asked for at one moment: one query, and as true as if each had its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from docmill import asked_together
from docmill.asked_together import Statuses
from docmill.database import Addresses, ApiDatabase, Row, Sync
from made_rows import OWNER, uploaded

ANOTHER = UUID("00000000-0000-4000-8000-0000000000ff")


class HeldDatabase(ApiDatabase):
    """The API's database, whose answers wait at the way back until they are let go."""

    def __init__(self, address: str) -> None:
        super().__init__(address, connections=2)
        self.way = asyncio.Event()
        self.read = asyncio.Event()
        self.asked_for: list[list[UUID]] = []
        self.fails = False

    async def asked(self, statement: bytes, parameters: Mapping[str, Any]) -> list[Row]:
        self.asked_for.append(parameters["ids"])
        rows = await super().asked(statement, parameters)
        self.read.set()
        await self.way.wait()
        if self.fails:
            raise psycopg.OperationalError("the server went away")
        return rows


@asynccontextmanager
async def held(addresses: Addresses) -> AsyncIterator[tuple[HeldDatabase, Statuses]]:
    database = HeldDatabase(addresses.api)
    await database.open()
    try:
        yield database, Statuses(database)
    finally:
        await database.close()


def run(
    addresses: Addresses, test: Callable[[HeldDatabase, Statuses], Coroutine[Any, Any, None]]
) -> None:
    async def whole() -> None:
        async with held(addresses) as (database, statuses):
            await test(database, statuses)

    asyncio.run(whole())


async def begun(
    database: HeldDatabase, statuses: Statuses, *ids: UUID, owner: UUID = OWNER
) -> list[asyncio.Task[Any]]:
    """The first asks, and has read; the others ask while its answer is on its way."""
    first = asyncio.create_task(statuses.of(owner, ids[0]))
    await database.read.wait()
    others = [asyncio.create_task(statuses.of(owner, document)) for document in ids[1:]]
    await asyncio.sleep(0)
    return [first, *others]


def test_those_who_come_while_a_query_is_on_its_way_are_told_by_one_more(
    admin: Sync, addresses: Addresses
) -> None:
    made = [uploaded(admin).document_id for _ in range(3)]
    foreign = uploaded(admin, ANOTHER).document_id

    async def test(database: HeldDatabase, statuses: Statuses) -> None:
        asking = await begun(database, statuses, *made, made[1], foreign)
        database.way.set()
        told = await asyncio.gather(*asking)
        assert [shown and shown["document_id"] for shown in told] == [
            *map(str, made), str(made[1]), None,
        ]  # fmt: skip
        assert database.asked_for == [[made[0]], [made[1], made[2], foreign]]
        await statuses.of(OWNER, made[0])
        assert len(database.asked_for) == 3

    run(addresses, test)


def test_no_answer_is_older_than_its_question(admin: Sync, addresses: Addresses) -> None:
    document = uploaded(admin).document_id

    async def test(database: HeldDatabase, statuses: Statuses) -> None:
        (first,) = await begun(database, statuses, document)
        admin.execute("update documents set version = 7 where id = %s", [document])
        second = asyncio.create_task(statuses.of(OWNER, document))
        await asyncio.sleep(0)
        database.way.set()
        assert (await first)["version"] == 1
        assert (await second or {})["version"] == 7

    run(addresses, test)


def test_owners_do_not_wait_for_each_other(admin: Sync, addresses: Addresses) -> None:
    mine, theirs = uploaded(admin).document_id, uploaded(admin, ANOTHER).document_id

    async def test(database: HeldDatabase, statuses: Statuses) -> None:
        asking = await begun(database, statuses, mine)
        asking += await begun(database, statuses, theirs, owner=ANOTHER)
        assert database.asked_for == [[mine], [theirs]]
        database.way.set()
        assert all(await asyncio.gather(*asking))

    run(addresses, test)


def test_an_error_is_told_to_all_who_wait_and_to_nobody_after_them(
    admin: Sync, addresses: Addresses
) -> None:
    document = uploaded(admin).document_id

    async def test(database: HeldDatabase, statuses: Statuses) -> None:
        asking = await begun(database, statuses, document, document, document)
        database.fails = True
        database.way.set()
        told = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(error) for error in told] == [psycopg.OperationalError] * 3
        database.fails = False
        assert await statuses.of(OWNER, document)

    run(addresses, test)


def test_who_leaves_takes_nobody_along(admin: Sync, addresses: Addresses) -> None:
    document = uploaded(admin).document_id

    async def test(database: HeldDatabase, statuses: Statuses) -> None:
        first, second, third = await begun(database, statuses, document, document, document)
        first.cancel()
        second.cancel()
        database.way.set()
        assert await third
        assert await statuses.of(OWNER, document)

    run(addresses, test)


def test_very_many_are_asked_for_in_turns(
    admin: Sync, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked_together, "MOST_TOGETHER", 2)
    made = [uploaded(admin).document_id for _ in range(6)]

    async def test(database: HeldDatabase, statuses: Statuses) -> None:
        asking = await begun(database, statuses, *made)
        database.way.set()
        assert all(await asyncio.gather(*asking))
        assert [len(ids) for ids in database.asked_for] == [1, 2, 2, 1]

    run(addresses, test)
