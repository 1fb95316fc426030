"""Procrastinate: jobs that do nothing, ten at a time, by one worker, until none is left.

They write no output and lead to no other job, as docmill's do: its best case. "Done" is an update
by id, after the work, which a worker that was given up for dead may still write.
"""

import asyncio
import json
import sys
import time

import procrastinate

WANTED = json.loads(sys.argv[1])
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=WANTED["url"]))


@app.task
async def nothing() -> None:
    """Do nothing."""


async def main() -> None:
    """Print in what time the jobs were done."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await nothing.batch_defer_async(*[{} for _ in range(WANTED["jobs"])])
        begun = time.perf_counter()
        await app.run_worker_async(
            concurrency=10, wait=False, listen_notify=False, install_signal_handlers=False
        )
        seconds = time.perf_counter() - begun
        counts = await app.connector.execute_query_all_async(
            "select status::text, count(*) from procrastinate_jobs group by status"
        )
    assert [(row["status"], row["count"]) for row in counts] == [("succeeded", WANTED["jobs"])]
    print(json.dumps({"seconds": seconds}))


asyncio.run(main())
