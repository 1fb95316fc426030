"""PgQueuer: jobs that do nothing, in batches of ten, by one worker, until none is left.

They write no output and lead to no other job, as docmill's do: its best case. "Done" is buffered
for a tenth of a second and then written for many by id, so what was done in it is done again after
a crash.
"""

import asyncio
import json
import sys
import time

import psycopg
from pgqueuer import PsycopgDriver, QueueManager
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

WANTED = json.loads(sys.argv[1])
BATCH = 1000


async def main() -> None:
    """Print in what time the jobs were done."""
    connection = await psycopg.AsyncConnection.connect(WANTED["url"], autocommit=True)
    async with connection:
        driver = PsycopgDriver(connection)
        queries = Queries(driver)
        await queries.install()
        for at in range(0, WANTED["jobs"], BATCH):
            some = min(BATCH, WANTED["jobs"] - at)
            await queries.enqueue(["nothing"] * some, [None] * some, [0] * some)
        manager = QueueManager(queries)

        ended = 0.0

        @manager.entrypoint("nothing")
        async def nothing(_: Job) -> None:
            """Do nothing, and say when that was: the manager takes seconds to end itself."""
            nonlocal ended
            ended = time.perf_counter()

        begun = time.perf_counter()
        await manager.run(batch_size=10, mode=QueueExecutionMode.drain)
        seconds = ended - begun
        cursor = await connection.execute("select count(*) from pgqueuer")
        left = await cursor.fetchone()
    assert left == (0,), left
    print(json.dumps({"seconds": seconds}))


asyncio.run(main())
