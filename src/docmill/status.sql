-- What is true of documents now. Row-level security leaves the asking owner's rows only.

-- read_status --
-- One row per document with everything its status says, as of one snapshot. The jobs tell what is
-- being tried, when the next try is due, and when each stage began and ended.
select d.id, d.filename, d.media_type, d.status, d.stage, d.version, d.generation, d.serving,
       d.pages_done, d.pages_total, d.chunks_done, d.chunks_total, d.embedded_done,
       d.error, d.warnings, d.external_id, d.metadata, d.created_at, d.started_at, d.changed_at,
       d.completed_at, f.size, f.sha256, c.name as collection,
       j.running, j.next_run_at, j.waiting_error, j.attempt, j.max_attempts,
       j.parse_started_at, j.parse_completed_at, j.chunk_started_at, j.chunk_completed_at,
       j.embed_started_at, j.embed_completed_at, line.position
from documents d
join files f on f.id = d.file_id
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
left join lateral (
  -- 1 is the next in line. Counted along the index that claims use, so it is their order.
  select count(*) as position
  from processing_jobs ahead
  join (select priority, run_at, id from processing_jobs
        where document_id = d.id and generation = d.generation and status = 'queued'
        order by priority, run_at, id limit 1) mine
    on (ahead.priority, ahead.run_at, ahead.id) <= (mine.priority, mine.run_at, mine.id)
  where ahead.status = 'queued'
) line on d.status = 'queued'
where d.id = any(%(ids)s)
order by d.created_at desc, d.id desc;

-- read_versions --
-- The versions of documents that somebody waits for; one query for all who wait.
select id, version from documents where id = any(%(ids)s);
