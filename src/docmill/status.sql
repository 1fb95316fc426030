-- What is true of documents now. Row-level security leaves the asking owner's rows only.
-- It does so by a condition on owner_id, which tempts the planner to read all that an owner has, for
-- it thinks of an average one. So what is asked by id is probed for by id: `limit 1` in a lateral
-- subquery can't be turned into a join.

-- read_status --
-- One row per document with everything its status says, as of one snapshot. A function, which the
-- server's session has planned: migrations/0015. `asking` is null where the transaction has said who
-- asks.
select * from document_statuses(
  %(asking)s, %(ids)s, %(line_end)s, %(stages)s::text[], %(priorities)s::smallint[]);

-- read_position --
-- The place in line of one document that has just come, as `read_status` counts it; null behind the
-- end. For the answer to an upload, which knows all else: a whole status takes four times as long.
select min(position) as position
from (
  select j.document_id, row_number() over (order by j.priority, j.run_at, j.id) as position
  from unnest(%(stages)s::text[], %(priorities)s::smallint[]) as l (stage, priority)
  cross join lateral (
    select id, document_id, priority, run_at from processing_jobs
    where status = 'queued' and stage = l.stage and priority = l.priority and run_at <= now()
    order by run_at, id
    limit %(line_end)s) j
) numbered
where document_id = %(document_id)s and position < %(line_end)s;

-- read_versions --
-- The versions of documents that somebody waits for; one query for all who wait.
select d.id, d.version
from unnest(%(ids)s::uuid[]) as asked (id)
cross join lateral (select id, version from documents where id = asked.id limit 1) d;
