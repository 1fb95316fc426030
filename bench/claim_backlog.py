"""One claim, while very much waits and very much has ended, against one of a queue that is new.

Each claim is a worker's, for two slots, and takes two jobs, for the files are not small. They are
ended at once, outside of the time, so the table churns as it does in use.
"""

import random
import time
from collections.abc import Iterator
from uuid import UUID

from harness import Bench, Numbers, Row, Target, interleaved, percentile
from psycopg import ClientCursor

import postgres
from docmill import job_queue, own_session
from docmill.carrying import GROUP
from docmill.database import Sync, addresses, connect
from docmill.job_queue import Claimant

OWNERS = 200
SLOTS = 2
CLAIMANT = Claimant("bench", 3600.0)
NEW_QUEUE = 2000
JOBS_PER_DOCUMENT = 3

# Foreign keys hold by construction; checking them would take longer than all the rest.
FILL = """
set session_replication_role = replica;
set synchronous_commit = off;
set search_path = docmill, extensions;
create temporary table made as
  select n, md5('owner ' || case when n %% 3 = 0 then 0 else n %% %(owners)s end)::uuid as owner_id,
         md5('document ' || n)::uuid as id, md5('file ' || n)::uuid as file_id,
         n <= %(waiting)s as waits
  from generate_series(1, %(waiting)s + %(ended)s) n;
insert into files (id, owner_id, sha256, size)
  select file_id, owner_id, sha256(n::text::bytea), 2000000 from made;
insert into documents (id, owner_id, file_id, filename, status, serving, served_file_id,
    served_filename, pages_done, pages_total, chunks_done, chunks_total, embedded_done, started_at,
    completed_at)
  select id, owner_id, file_id, n || '.txt', case when waits then 'queued' else 'completed' end,
         case when not waits then 1 end, case when not waits then file_id end,
         case when not waits then n || '.txt' end, c, c, c, c, c,
         case when not waits then now() end, case when not waits then now() end
  from made, lateral (select case when waits then 0 else 1 end as c) counts;
insert into processing_jobs (owner_id, document_id, generation, stage, status, priority, done,
    total, attempt, max_attempts, finished_at, run_at)
  select owner_id, id, 1, s.stage, 'succeeded', s.priority, 1, 1, 1, 5, now(), now()
  from made, (values ('parse', 0), ('chunk', -1), ('embed', -1)) s (stage, priority)
  where not waits;
insert into processing_jobs (owner_id, document_id, generation, stage, max_attempts, run_at)
  select owner_id, id, 1, 'parse', 5, now() - n * interval '1 ms'
  from made where waits order by n;
set session_replication_role = origin;
reset synchronous_commit;
"""
END = """
update processing_jobs
set status = 'succeeded', done = 1, total = 1, finished_at = now(), lease_token = null,
    lease_until = null
where id = any(%s)
"""


def run(bench: Bench) -> Iterator[Row]:
    """Percentiles of a claim on both queues, and its median over queues of growing length."""
    waiting, ended = bench.size(200_000, 2000), bench.size(1_000_000, 6000)
    count = bench.size(500, 50)
    with (
        postgres.cluster(bench.folder / "data") as server,
        postgres.migrated(server, "long") as long,
        postgres.migrated(server, "new") as new,
    ):
        filled(long, waiting, ended)
        filled(new, NEW_QUEUE + count * SLOTS * bench.rounds, 0)
        churned(long, count * 4)
        samples = interleaved(
            bench.rounds,
            {
                "docmill": lambda _: claimed(long, count),
                "new queue": lambda _: claimed(new, count),
            },
        )
        for what, target in (("p99", Target(2, at_most=True)), ("p50", None)):
            yield Row(
                line="claim_backlog",
                what=f"claim at {waiting:,} waiting and {ended:,} ended jobs, {what}",
                unit="ms",
                ours=samples["docmill"][what],
                against="a new queue",
                theirs=samples["new queue"][what],
                target=target,
            )
    yield from over_lengths(bench, waiting)


def over_lengths(bench: Bench, longest: int) -> Iterator[Row]:
    """Claims per second at 1, 10 and 100 parts of the longest queue."""
    with postgres.cluster(bench.folder / "lengths") as server:
        for share in (100, 10, 1):
            count = min(300, longest // share // SLOTS // bench.rounds)
            with postgres.migrated(server) as url:
                filled(url, longest // share, 0)
                rates = [1000 / claimed(url, count)["p50"] for _ in range(bench.rounds)]
            yield Row(
                line="claim_backlog",
                what=f"claims of {SLOTS} jobs, {longest // share:,} waiting",
                unit="claims/s",
                ours=rates,
                at=longest // share,
            )


def filled(url: str, waiting: int, ended: int) -> None:
    """A queue in which so many jobs wait and so many have ended."""
    values = {"waiting": waiting, "ended": ended // JOBS_PER_DOCUMENT, "owners": OWNERS}
    with connect(url, autocommit=True) as admin:
        ClientCursor(admin).execute(FILL, values)
        admin.execute(b"vacuum analyze")


def churned(url: str, claims: int) -> None:
    """Claims and ends before what is measured, so that dead rows lie where claims begin."""
    claimed(url, claims)


def claimed(url: str, count: int) -> Numbers:
    """Percentiles of claims in milliseconds, commit included."""
    took = []
    with connect(addresses(url).worker) as worker, postgres.bare_connection(url) as admin:
        own_session.keep_plans(worker)  # as a worker's sessions do
        after = UUID(int=random.getrandbits(128))
        for _ in range(count):
            begun = time.perf_counter()
            with worker.transaction():
                jobs = job_queue.claim(worker, CLAIMANT, SLOTS, after=after, group=GROUP)
            took.append((time.perf_counter() - begun) * 1000)
            assert len(jobs) == SLOTS
            after = jobs[-1].owner_id
            end(admin, [job.id for job in jobs])
    return {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99)}


def end(admin: Sync, jobs: list[int]) -> None:
    """End the jobs as a worker would."""
    admin.execute(END, [jobs])
