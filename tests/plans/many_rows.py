"""A database that has been in use for long: a million ended jobs, and a burst that has just come.

Made by a few statements, as no test could wait for the real work. The constraints of the tables are
checked; foreign keys hold by construction. Nobody analyzes behind a test's back: what the planner
knows is what the test lets it know.
"""

from hashlib import md5
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from docmill.database import Sync

JOBS_PER_DOCUMENT = 10
WAITING, RUNNING, LATER = 10_000, 200, 100
# What statements that are about several documents take as a list.
NAMED_IN_GROUPS = ("owner_id", "document_id", "file_id", "generation")


def id_of(kind: str, n: int) -> UUID:
    """The id of the n-th of its kind. Owner 0 has a third of everything, and the burst."""
    return UUID(md5(f"{kind} {n}".encode(), usedforsecurity=False).hexdigest())


def prepare(admin: Sync) -> None:
    """Let nobody but the test analyze a table, and let this session skip foreign keys."""
    admin.execute(PREPARE)


def used_for_long(admin: Sync, jobs: int) -> None:
    """Fill the tables with documents that have ended."""
    admin.execute(DOCUMENTS_MADE, {"documents": jobs // JOBS_PER_DOCUMENT})
    admin.execute(ENDED_WORK)


def burst(admin: Sync) -> None:
    """Add what has just come: one owner's many files and a few of others, some of them in work."""
    admin.execute(BURST_MADE, {"running": RUNNING, "waiting": WAITING, "later": LATER})
    admin.execute(LIVE_WORK)


def forget_statistics(admin: Sync) -> None:
    """Leave the planner without any knowledge, as it is after a restore."""
    admin.execute(FORGET)


def churn(admin: Sync) -> None:
    """Let 50,000 jobs of owner 0 come and end; their dead rows lie before all that wait."""
    admin.execute("analyze")
    admin.execute(CHURN)


def subjects(admin: Sync) -> dict[str, dict[str, Any]]:
    """What statements are asked for: documents with a job, a file and an upload in the middle."""
    found = {row["subject"]: dict(row) for row in admin.execute(SUBJECTS).fetchall()}
    for subject in found.values():
        subject["ids"] = [subject["document_id"]]
        subject |= {f"{name}s": [subject[name]] for name in NAMED_IN_GROUPS}
        subject["jobs"] = Jsonb([_following(subject)])
    running = found["running"]
    running.update(ids=[running["id"]], tokens=[running["token"]], attempts=[running["attempt"]])
    return found


def _following(subject: dict[str, Any]) -> dict[str, Any]:
    """The next job of a document, as `enqueue_taken_jobs` takes it."""
    named = {"owner_id": str(subject["owner_id"]), "document_id": str(subject["document_id"])}
    return {
        **named,
        "generation": subject["generation"],
        "part": 0,
        "span": None,
        "total": None,
        "priority": -1,
        "max_attempts": 5,
    }


PREPARE = """
set session_replication_role = replica;
set synchronous_commit = off;
set maintenance_work_mem = '256MB';
select set_config('search_path', 'docmill, extensions', false);

create function pg_temp.id(kind text, n bigint) returns uuid language sql immutable
  return md5(kind || ' ' || n)::uuid;

do $$
declare
  name text;
begin
  for name in select relname from pg_class
              where relkind = 'r' and relnamespace = 'docmill'::regnamespace loop
    execute format('alter table %I set (autovacuum_enabled = off)', name);
  end loop;
end $$;
"""

DOCUMENTS_MADE = """
create temporary table made as
  select n, owner, pg_temp.id('owner', owner) as owner_id, pg_temp.id('document', n) as id,
         pg_temp.id('file', n) as file_id,
         case n %% 100 when 0 then 'failed' when 1 then 'cancelled' else 'completed' end as status
  from generate_series(1, %(documents)s) n,
       lateral (select case when n %% 3 = 0 then 0 else n %% 1000 end as owner) o
"""

ENDED_WORK = """
insert into collections (id, owner_id, name)
  select pg_temp.id('collection', n), pg_temp.id('owner', n), 'papers'
  from generate_series(0, 999) n;

insert into files (id, owner_id, sha256, size)
  select file_id, owner_id, sha256(n::text::bytea), 5 from made;

insert into file_parts (owner_id, file_id, position, data)
  select owner_id, file_id, 0, 'hello' from made;

insert into documents (id, owner_id, collection_id, file_id, filename, status, serving,
    served_file_id, served_filename, pages_done, pages_total, chunks_done, chunks_total,
    embedded_done, error, created_at, started_at, completed_at)
  select id, owner_id, case when n % 2 = 0 then pg_temp.id('collection', owner) end,
         file_id, name, status, case when whole then 1 end, case when whole then file_id end,
         case when whole then name end, 1, 1, 1, 1, case when whole then 1 else 0 end,
         case when status = 'failed' then '{}'::jsonb end,
         now() - interval '1 second' * (1000000 - n), now(), case when whole then now() end
  from made, lateral (select status = 'completed' as whole, 'paper ' || n || '.pdf' as name) w;

insert into processing_jobs (owner_id, document_id, generation, stage, part, status, priority,
    attempt, max_attempts, done, total, error, started_at, finished_at, worker)
  select owner_id, id, 1, stage, part, ended, case stage when 'parse' then 0 else -1 end,
         1, 5, 1, 1, case when ended = 'failed' then '{}'::jsonb end, now(), now(), 'w' || n % 50
  from made,
       lateral (select 'parse' as stage, part from generate_series(0, 3) part
                union all select 'chunk', 0
                union all select 'embed', part from generate_series(0, 4) part) job,
       lateral (select case when stage = 'embed' and part = 4 and status <> 'completed'
                            then status else 'succeeded' end as ended) e;

insert into job_attempts (owner_id, job_id, attempt, worker, ended_at, outcome, error)
  select owner_id, id, 1, worker, now(), status, error from processing_jobs;

insert into pages (owner_id, document_id, generation, number, text)
  select owner_id, id, 1, 1, 'hello' from made;

insert into chunks (owner_id, document_id, generation, ordinal, text, page_first, page_last,
    char_start, char_end, words)
  select owner_id, id, 1, 0, 'hello', 1, 1, 0, 5, ''::tsvector from made;

insert into uploads (owner_id, length, received, said, metadata, document_id, outcome, expires_at)
  select owner_id, 5, 5, '{}', '', id, 'accepted', now() + interval '1 day'
  from made where n % 5 = 0;

insert into idempotent_requests (owner_id, key, until, fingerprint, status, answer)
  select owner_id, n::text, now() + interval '1 day', sha256(''), 202, '{}'
  from made where n % 5 = 0;

insert into paid_embeddings (owner_id, model_id, text_sha256, embedding)
  select owner_id, 1, sha256(n::text::bytea), '[1,2,3]' from made where n % 5 = 0;

insert into webhooks (id, owner_id, url, events)
  select pg_temp.id('webhook', n), pg_temp.id('owner', n), 'https://a.example/',
         '{document.completed}'
  from generate_series(0, 999) n;
insert into webhook_secrets (owner_id, webhook_id, secret)
  select owner_id, id, sha256('secret') from webhooks;

-- The oldest are to be pruned.
insert into webhook_deliveries (id, owner_id, webhook_id, document_id, version, event, body, status,
    attempt, created_at, finished_at)
  select pg_temp.id('delivery', n), owner_id, pg_temp.id('webhook', owner), id, 0,
         'document.completed', '{}', 'delivered', 1,
         case when n <= 1000 then now() - interval '40 days'
              else now() - interval '1 second' * (1000000 - n) end, now()
  from made;

-- Every hundredth was read three times, and failed twice, long ago. A third of the other jobs were
-- given back once, long ago.
insert into processing_jobs (owner_id, document_id, generation, stage, part, status, priority,
    attempt, max_attempts, done, total, error, started_at, finished_at, worker)
  select owner_id, id, generation, 'parse', part, 'failed', 0, 1, 5, 0, 1, '{}', now(),
         now() - interval '40 days', 'w1'
  from made, generate_series(2, 3) generation, generate_series(0, 4) part where n % 100 = 50;
insert into pages (owner_id, document_id, generation, number, text)
  select owner_id, id, generation, number, 'hello'
  from made, generate_series(2, 3) generation, generate_series(1, 20) number where n % 100 = 50;
insert into chunks (owner_id, document_id, generation, ordinal, text, page_first, page_last,
    char_start, char_end, words)
  select owner_id, id, generation, ordinal, 'hello', 1, 1, 0, 5, ''::tsvector
  from made, generate_series(2, 3) generation, generate_series(1, 20) ordinal where n % 100 = 50;
update documents set generation = 3, status = 'failed', error = '{}', completed_at = null
  where id in (select id from made where n % 100 = 50);
update job_attempts set attempt = 2 where job_id % 3 = 0;
insert into job_attempts (owner_id, job_id, attempt, worker, ended_at, outcome)
  select owner_id, id, 1, 'w1', now() - interval '40 days', 'released'
  from processing_jobs where id % 3 = 0 and generation = 1;
update processing_jobs set attempt = 2, released = 1 where id % 3 = 0 and generation = 1;
insert into operator_actions (at, operator, action, subject)
  select now() - interval '1 second' * n, 'me', 'retry', 'parse' from made;
insert into operator_actions (at, operator, action, subject)
  select now() - interval '400 days', 'me', 'retry', 'parse' from made where n <= 1000;

-- What is to be pruned.
insert into files (id, owner_id, receiving_until)
  select pg_temp.id('cut off', n), owner_id, now() - interval '1 hour' from made where n <= 1000;
insert into file_parts (owner_id, file_id, position, data)
  select owner_id, pg_temp.id('cut off', n), position, 'hello'
  from made, unnest('{0,5,10}'::int[]) position where n <= 1000;
insert into uploads (id, owner_id, file_id, said, metadata, expires_at)
  select pg_temp.id('upload', n), owner_id, pg_temp.id('cut off', n), '{}', '',
         now() - interval '1 hour'
  from made where n <= 1000;
insert into idempotent_requests (owner_id, key, until)
  select owner_id, 'ended ' || n, now() - interval '1 hour' from made where n <= 1000;
insert into paid_embeddings (owner_id, model_id, text_sha256, embedding, created_at)
  select owner_id, 1, sha256('old ' || n::text::bytea), '[1,2,3]', now() - interval '3 days'
  from made where n <= 2000;

-- A model without an index: what is written into one of vectors is not measured here.
insert into embedding_models (name, dimensions) values ('small', 3);
insert into embeddings (owner_id, document_id, generation, ordinal, model_id, embedding)
  select owner_id, made.id, 1, 0, m.id, '[1,2,3]'
  from made, embedding_models m where name = 'small';

insert into large_owners (owner_id) values (pg_temp.id('owner', 0));
insert into vectors_come (owner_id, vectors)
  select pg_temp.id('owner', n), 10 from generate_series(1, 999) n, generate_series(1, 2);

-- A minute's attempts, on a busy day.
insert into tallies (subject, outcome, reason, bucket, micros, units)
  select stage, 'succeeded', '', n % 17, n, 1
  from generate_series(1, 1000) n, unnest('{parse,chunk,embed}'::text[]) stage;

insert into workers (id, slots, session_pid, session_start)
  select 'w' || n, 4, 0, now() from generate_series(0, 49) n;
"""

# Whose, and how it stands: the burst of owner 0, two documents each of thirty others, some that
# wait for their next try, and what runs.
BURST_MADE = """
create temporary table come as
  select n, owner, pg_temp.id('owner', owner) as owner_id, pg_temp.id('burst', n) as id, state
  from (select n, 0 as owner, 'waiting' as state from generate_series(1, %(waiting)s) n
        union all
        select 100000 + n, 1 + n %% 30, 'waiting' from generate_series(1, 60) n
        union all
        select 200000 + n, 31, 'later' from generate_series(1, %(later)s) n
        union all
        select 300000 + n, 1 + n %% 40, 'running' from generate_series(1, %(running)s) n) c
"""

LIVE_WORK = """
insert into files (id, owner_id, sha256, size)
  select pg_temp.id('burst file', n), owner_id, sha256('burst ' || n::text::bytea), 5 from come;

insert into documents (id, owner_id, file_id, filename, status, stage, started_at)
  select id, owner_id, pg_temp.id('burst file', n), 'b.pdf',
         case when state = 'waiting' then 'queued' else 'processing' end,
         case when state <> 'waiting' then 'parse' end, case when state <> 'waiting' then now() end
  from come;

insert into processing_jobs (owner_id, document_id, generation, stage, status, attempt, run_at,
    max_attempts, lease_token, lease_until, worker, started_at)
  select owner_id, id, 1, 'parse', case when runs then 'running' else 'queued' end,
         case when state = 'waiting' then 0 else 1 end,
         case when state = 'later' then now() + interval '1 hour' else now() end, 5,
         case when runs then gen_random_uuid() end,
         case when runs then now() + interval '1 hour' end,
         case when runs then 'w' || n % 50 end, case when runs then now() end
  from come, lateral (select state = 'running' as runs) r
  order by n;

insert into job_attempts (owner_id, job_id, attempt, worker, ended_at, outcome, error)
  select owner_id, id, 1, coalesce(worker, 'w'),
         case when status = 'queued' then now() end,
         case when status = 'queued' then 'failed' end,
         case when status = 'queued' then '{}'::jsonb end
  from processing_jobs where status in ('queued', 'running') and attempt = 1;

insert into webhook_deliveries (id, owner_id, webhook_id, document_id, version, event, body, status,
    attempt, lease_token, lease_until, worker)
  select pg_temp.id('burst delivery', n), owner_id, pg_temp.id('webhook', owner), id, 0,
         'document.completed', '{}', case when sends then 'sending' else 'waiting' end,
         case when sends then 1 else 0 end, case when sends then pg_temp.id('token', n) end,
         case when sends then now() + interval '1 minute' end,
         case when sends then 'w' || n % 50 end
  from come, lateral (select state = 'running' and n % 4 = 1 as sends) s;

insert into webhook_attempts (owner_id, delivery_id, attempt, worker, ended_at, status_code)
  select owner_id, id, 1, 'w', case when status = 'delivered' then now() end,
         case when status = 'delivered' then 200 end
  from webhook_deliveries where attempt = 1;
"""

FORGET = """
delete from pg_statistic where starelid in (
  select oid from pg_class where relnamespace = 'docmill'::regnamespace);
update pg_class set reltuples = -1, relpages = 0, relallvisible = 0
where relnamespace = 'docmill'::regnamespace and relkind = 'r';
"""

CHURN = """
insert into processing_jobs (owner_id, document_id, generation, stage, run_at, max_attempts)
  select pg_temp.id('owner', 0), pg_temp.id('churned', n), 1, 'parse', now() - interval '1 hour', 5
  from generate_series(1, 50000) n;
update processing_jobs
  set status = 'running', attempt = 1, lease_token = gen_random_uuid(), lease_until = now(),
      worker = 'w'
  where status = 'queued' and run_at < now() - interval '30 minutes';
update processing_jobs
  set status = 'succeeded', done = 1, total = 1, finished_at = now(), lease_token = null,
      lease_until = null
  where worker = 'w' and status = 'running';
"""

# How many owners, how many jobs of each, and when they are due.
MORE_WAIT = """
insert into processing_jobs (owner_id, document_id, generation, stage, run_at, max_attempts)
  select pg_temp.id('new owner', owner), pg_temp.id('new ' || owner, n), 1, 'parse',
         now() + %(due_in)s::interval, 5
  from generate_series(1, %(owners)s) owner, generate_series(1, %(jobs)s) n
"""

# `bare` has no job of its generation yet; `whole` is in its last commit.
SUBJECTS = """
with made as (
  select * from (values
    ('ended', pg_temp.id('document', 3)), ('failed', pg_temp.id('document', 300)),
    ('made again', pg_temp.id('document', 1050)),
    ('waiting', pg_temp.id('burst', 5000)), ('running', pg_temp.id('burst', 300001)),
    ('whole', pg_temp.id('burst', 300002)), ('bare', pg_temp.id('burst', 300003))
  ) as made (subject, document_id)
)
select m.subject, d.owner_id, d.id as document_id, d.file_id, j.id, j.attempt,
       j.lease_token as token, d.generation + (m.subject = 'bare')::int as generation
from made m
join documents d on d.id = m.document_id
cross join lateral (select * from processing_jobs where document_id = d.id order by id limit 1) j
union all
select 'received', owner_id, null, id, null, null, null, null
from files where id = pg_temp.id('cut off', 5)
"""
