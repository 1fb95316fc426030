-- What is true of documents now. Row-level security leaves the asking owner's rows only.
-- It does so by a condition on owner_id, which tempts the planner to read all that an owner has, for
-- it thinks of an average one. So what is asked by id is probed for by id: `limit 1` in a lateral
-- subquery can't be turned into a join.

-- read_status --
-- One row per document with everything its status says, as of one snapshot. The jobs tell what is
-- being tried, when the next try is due, and when each stage began and ended.
--
-- The position is that in the owner's own line, in the order in which claims take it. Between owners
-- there is no line: they take turns, and nobody is told how much others have. It is counted as far as
-- :line_end; who stands there stands there or behind.
with line as materialized (
  select document_id, generation, min(position) as position
  from (
    select j.document_id, j.generation,
           row_number() over (order by j.priority, j.run_at, j.id) as position
    from unnest(%(stages)s::text[], %(priorities)s::smallint[]) as l (stage, priority)
    cross join lateral (
      select id, document_id, generation, priority, run_at from processing_jobs
      where status = 'queued' and stage = l.stage and priority = l.priority and run_at <= now()
      order by run_at, id
      limit %(line_end)s) j
  ) numbered
  where document_id = any(%(ids)s) and position < %(line_end)s
  group by document_id, generation
)
select d.id, d.filename, d.media_type, d.status, d.stage, d.version, d.generation, d.serving,
       d.pages_done, d.pages_total, d.chunks_done, d.chunks_total, d.embedded_done,
       d.error, d.warnings, d.external_id, d.metadata, d.created_at, d.started_at, d.changed_at,
       d.completed_at, f.size, f.sha256, c.name as collection,
       j.running, j.next_run_at, j.waiting_error, j.attempt, j.max_attempts,
       j.parse_started_at, j.parse_completed_at, j.chunk_started_at, j.chunk_completed_at,
       j.embed_started_at, j.embed_completed_at,
       case when d.status = 'queued' then coalesce(
         (select position from line where document_id = d.id and generation = d.generation),
         %(line_end)s) end as position
from (select distinct unnest(%(ids)s::uuid[]) as id) asked
cross join lateral (select * from documents where id = asked.id limit 1) d
cross join lateral (select size, sha256 from files where id = d.file_id limit 1) f
left join collections c on c.id = d.collection_id
left join lateral (
  select
    bool_or(status = 'running') as running,
    min(run_at) filter (where status = 'queued') as next_run_at,
    (array_agg(error order by run_at) filter (where status = 'queued' and error is not null))[1]
      as waiting_error,
    coalesce(max(attempt - released) filter (where status in ('queued', 'running')),
             max(attempt - released)) as attempt,
    max(max_attempts) as max_attempts,
    min(started_at) filter (where stage = 'parse') as parse_started_at,
    min(started_at) filter (where stage = 'chunk') as chunk_started_at,
    min(started_at) filter (where stage = 'embed') as embed_started_at,
    case when bool_and(status = 'succeeded') filter (where stage = 'parse')
         then max(finished_at) filter (where stage = 'parse') end as parse_completed_at,
    case when bool_and(status = 'succeeded') filter (where stage = 'chunk')
         then max(finished_at) filter (where stage = 'chunk') end as chunk_completed_at,
    case when bool_and(status = 'succeeded') filter (where stage = 'embed')
         then max(finished_at) filter (where stage = 'embed') end as embed_completed_at
  from processing_jobs
  where document_id = d.id and generation = d.generation
) j on true
order by d.created_at desc, d.id desc;

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
