"""What is read in one request is as of one moment, however many statements it takes."""

import asyncio

import made_rows
from docmill import contents
from docmill.database import Addresses, ApiDatabase, Sync


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
