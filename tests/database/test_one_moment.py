"""What is read in one request is as of one moment, however many statements it takes."""

import asyncio

import made_rows
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
