"""A file's parts are committed while further ones come in; what goes wrong there is not lost."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable

import pytest

import made_rows
from docmill.accepting import Limits, NewDocument
from docmill.database import Addresses, ApiDatabase, Async, Sync
from docmill.errors import Problem
from docmill.receiving import PART_BYTES, IncomingFile, nothing_else

LIMITS = Limits(max_bytes=1 << 30, quota_bytes=None, max_attempts=5)
DOCUMENT = NewDocument("a.bin")
PIECE = 1 << 16

Beside = Callable[[Async], Awaitable[None]]


def receive(
    addresses: Addresses,
    act: Callable[[IncomingFile], Awaitable[None]],
    beside: Beside = nothing_else,
) -> None:
    """Do something with a file that comes in."""

    async def within() -> None:
        database = ApiDatabase(addresses.api)
        await database.open()
        try:
            await act(IncomingFile(database, made_rows.OWNER, LIMITS, beside))
        finally:
            await database.close()

    asyncio.run(within())


async def write(file: IncomingFile, content: bytes) -> None:
    """As it comes from the network."""
    for at in range(0, len(content), PIECE):
        await file.write(content[at : at + PIECE])


@pytest.mark.parametrize(
    "size", [1, PART_BYTES, PART_BYTES + 1, 9 * PART_BYTES, 9 * PART_BYTES + 7]
)
def test_every_byte_is_kept_in_order_however_fast_it_comes(
    addresses: Addresses, admin: Sync, size: int
) -> None:
    content = os.urandom(size)

    async def act(file: IncomingFile) -> None:
        await write(file, content)
        await file.commit(DOCUMENT)

    receive(addresses, act)
    parts = admin.execute("select position, data from file_parts order by position").fetchall()
    assert b"".join(part["data"] for part in parts) == content
    assert max(len(part["data"]) for part in parts) <= PART_BYTES
    file = admin.execute("select sha256, size from files").fetchone()
    assert file == {"sha256": hashlib.sha256(content).digest(), "size": size}


def test_a_file_given_up_in_the_middle_of_a_commit_leaves_nothing(
    addresses: Addresses, admin: Sync
) -> None:
    async def act(file: IncomingFile) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()
        waits.extend([begun, go_on])
        await write(file, os.urandom(2 * PART_BYTES))
        await begun.wait()
        giving_up = asyncio.create_task(file.abandon())
        await asyncio.sleep(0)
        go_on.set()
        await giving_up

    waits: list[asyncio.Event] = []

    async def hold(_: Async) -> None:
        begun, go_on = waits
        begun.set()
        await go_on.wait()

    receive(addresses, act, hold)
    assert admin.execute("select count(*) as n from files").fetchone() == {"n": 0}
    assert admin.execute("select count(*) as n from file_parts").fetchone() == {"n": 0}


def test_a_part_that_could_not_be_kept_is_told_at_the_latest_by_the_commit(
    addresses: Addresses, admin: Sync
) -> None:
    async def refuse(_: Async) -> None:
        raise Problem("STORAGE_FULL", "There is no room.")

    async def act(file: IncomingFile) -> None:
        await write(file, os.urandom(PART_BYTES + 1))
        with pytest.raises(Problem, match="no room"):
            await file.commit(DOCUMENT)
        await file.abandon()

    receive(addresses, act, refuse)
    assert admin.execute("select count(*) as n from files").fetchone() == {"n": 0}


async def is_cut_off(file: IncomingFile, happens: Callable[[], object], more: bytes) -> None:
    """Something happens to the file while it comes in, and then it is refused."""
    await write(file, bytes(PART_BYTES + 1))
    await file._keeping.through()
    happens()
    with pytest.raises(Problem) as refused:
        await gone_on(file, more)
    assert refused.value.code == "UPLOAD_CUT_OFF"
    await file.abandon()


@pytest.mark.parametrize("more", [b"", bytes(2 * PART_BYTES)])
def test_a_file_that_was_given_up_for_dead_is_refused_and_leaves_nothing(
    addresses: Addresses, admin: Sync, more: bytes
) -> None:
    async def act(file: IncomingFile) -> None:
        await is_cut_off(file, lambda: admin.execute("delete from files"), more)

    receive(addresses, act)
    assert admin.execute("select from file_parts").rowcount == 0


def test_a_file_that_is_whole_already_takes_no_more_parts(
    addresses: Addresses, admin: Sync
) -> None:
    async def act(file: IncomingFile) -> None:
        made_whole = b"update files set receiving_until = null, sha256 = sha256(''), size = 1"
        await is_cut_off(file, lambda: admin.execute(made_whole), bytes(2 * PART_BYTES))

    receive(addresses, act)
    assert admin.execute("select from file_parts").rowcount == 1


async def gone_on(file: IncomingFile, more: bytes) -> None:
    await write(file, more)
    await file.commit(DOCUMENT)
