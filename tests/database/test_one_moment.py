"""What is read in one request is as of one moment, however many statements it takes."""

import asyncio
from uuid import UUID

import psycopg
import pytest

import made_rows
from docmill import contents
from docmill.database import Addresses, ApiDatabase, Sync

ANOTHER = UUID("00000000-0000-4000-8000-0000000000ff")
COUNT = b"select count(*) as n from docmill.documents;"


def test_a_reading_sees_nothing_that_is_committed_while_it_lasts(
    addresses: Addresses, admin: Sync
) -> None:
    async def counts() -> list[int]:
        database = ApiDatabase(addresses.api)
        await database.open()
        try:
            async with database.reading(made_rows.OWNER) as connection:
                seen = []
                for _ in range(2):
                    cursor = await connection.execute("select count(*) as n from docmill.documents")
                    seen.append((await cursor.fetchone() or {})["n"])
                    made_rows.uploaded(admin)
                return seen
        finally:
            await database.close()

    assert asyncio.run(counts()) == [0, 0]


def test_statements_of_one_message_see_one_owner_and_one_moment(
    addresses: Addresses, admin: Sync
) -> None:
    made_rows.uploaded(admin)
    made_rows.uploaded(admin, ANOTHER)

    async def counts() -> list[int]:
        database = ApiDatabase(addresses.api, connections=1)
        await database.open()
        try:
            async with database.reading_at_once(made_rows.OWNER) as reading:
                first = await reading.ask([COUNT, COUNT], {})
                made_rows.uploaded(admin)
                last = await reading.ask([COUNT], {}, last=True)
            async with database.reading_at_once(made_rows.OWNER) as reading:
                after = await reading.ask([COUNT], {}, last=True)
            return [row["n"] for rows in [*first, *last, *after] for row in rows]
        finally:
            await database.close()

    assert asyncio.run(counts()) == [1, 1, 1, 2]


def test_statements_of_one_message_take_any_value_and_write_nothing(
    addresses: Addresses, admin: Sync
) -> None:
    value = "'; delete from docmill.documents; -- \\' %s"
    made_rows.uploaded(admin)

    async def asked() -> tuple[object, int]:
        database = ApiDatabase(addresses.api, connections=1)
        await database.open()
        try:
            async with database.reading_at_once(made_rows.OWNER) as reading:
                ((row,),) = await reading.ask([b"select %(value)s::text as v;"], {"value": value})
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    await reading.ask([b"delete from docmill.documents;"], {})
            # The same connection, which has ended what failed.
            async with database.reading_at_once(made_rows.OWNER) as reading:
                ((count,),) = await reading.ask([COUNT], {}, last=True)
            return row["v"], count["n"]
        finally:
            await database.close()

    assert asyncio.run(asked()) == (value, 1)


def test_bytes_that_are_begun_belong_to_the_document_as_it_was_found(
    addresses: Addresses, admin: Sync
) -> None:
    made = made_rows.uploaded(admin)

    async def read() -> list[bytes]:
        database = ApiDatabase(addresses.api)
        await database.open()
        try:
            async with database.reading(made_rows.OWNER) as connection:
                file = await contents.find_file(connection, made.document_id)
                assert file is not None
                admin.execute("delete from docmill.documents")
                admin.execute("delete from docmill.files")
                begun = await contents.read_slice(connection, file["file_id"], 0, 4)
            return [
                piece
                async for piece in contents.stream_bytes(
                    database, made_rows.OWNER, file["file_id"], 0, 4, begun=begun
                )
            ]
        finally:
            await database.close()

    assert asyncio.run(read()) == [b"hello"]
