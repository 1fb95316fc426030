-- What the API asks all the time, as functions. A server's session keeps the plans of a function's
-- statements, also behind a transaction pooler, where a prepared statement would be another
-- session's; planning was most of what these cost. And one call says who asks and what, so that
-- it is one way to the server and back, and one transaction.
--
-- They run as whoever calls them: row-level security holds in them as it does outside. A kept plan
-- may have been made when there was hardly a row. So it never reads a table through
-- (enable_seqscan); analyze makes the session plan anew.

-- One row per document with everything its status says, as of one snapshot. The jobs tell what is
-- being tried, when the next try is due, and when each stage began and ended. `stable`, so the server
-- refuses it to write, and all of it sees one moment.
--
-- The position is that in the owner's own line, in the order in which claims take it. Between owners
-- there is no line: they take turns, and nobody is told how much others have. It is counted as far as
-- line_end; who stands there stands there or behind. It is counted only if one asked for is waiting.
create function document_statuses(
  asking uuid, ids uuid[], line_end int, stages text[], priorities smallint[]
) returns table (
  id uuid, filename text, media_type text, status text, stage text, version bigint, generation int,
  serving int, pages_done int, pages_total int, chunks_done int, chunks_total int,
  embedded_done int, error jsonb, warnings jsonb, created_at timestamptz, started_at timestamptz,
  changed_at timestamptz, completed_at timestamptz, size bigint, collection text, running boolean,
  next_run_at timestamptz, waiting_error jsonb, attempt int, max_attempts int,
  parse_started_at timestamptz, parse_completed_at timestamptz, chunk_started_at timestamptz,
  chunk_completed_at timestamptz, embed_started_at timestamptz, embed_completed_at timestamptz,
  "position" bigint
) language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_column
begin
  if asking is not null then
    perform set_config('request.jwt.claims', '{"sub": "' || asking || '"}', true);
  end if;
  return query
  with line as materialized (
    select document_id, generation, min(numbered.position) as position
    from (
      select j.document_id, j.generation,
             row_number() over (order by j.priority, j.run_at, j.id) as position
      from unnest(stages, priorities) as l (stage, priority)
      cross join lateral (
        select id, document_id, generation, priority, run_at from processing_jobs
        where status = 'queued' and stage = l.stage and priority = l.priority and run_at <= now()
        order by run_at, id
        limit line_end) j
    ) numbered
    where document_id = any(ids) and numbered.position < line_end
    group by document_id, generation
  )
  select d.id, d.filename, d.media_type, d.status, d.stage, d.version, d.generation, d.serving,
         d.pages_done, d.pages_total, d.chunks_done, d.chunks_total, d.embedded_done,
         d.error, d.warnings, d.created_at, d.started_at, d.changed_at,
         d.completed_at, f.size, c.name,
         j.running, j.next_run_at, j.waiting_error, j.attempt, j.max_attempts,
         j.parse_started_at, j.parse_completed_at, j.chunk_started_at, j.chunk_completed_at,
         j.embed_started_at, j.embed_completed_at,
         case when d.status = 'queued' then coalesce(
           (select line.position from line
            where document_id = d.id and generation = d.generation), line_end) end
  from (select distinct unnest(ids) as id) asked
  cross join lateral (select * from documents where id = asked.id limit 1) d
  cross join lateral (select size from files where id = d.file_id limit 1) f
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
end $$;

-- A document that nobody has sent before: its bytes, itself and its first job, and its place in line.
-- No row: these bytes or this external_id are here already. Then nothing was written, and whoever calls
-- looks what becomes of that. The caller has seen to limits and to the name.
--
-- The place is counted as in document_statuses: those that are claimed before a job that comes now.
create function add_new_document(
  asking uuid, sha256 bytea, data bytea, collection text, filename text, external_id text,
  metadata jsonb, priority smallint, traceparent text, max_attempts int,
  line_end int, stages text[], priorities smallint[]
) returns table (document_id uuid, "position" int)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
  place uuid;
  file uuid;
  job bigint;
begin
  if asking is not null then
    perform set_config('request.jwt.claims', '{"sub": "' || asking || '"}', true);
  end if;
  perform from files f where f.sha256 = add_new_document.sha256;
  if found then
    return;
  end if;
  if collection is not null then
    select c.id into place from collections c where c.name = collection;
  end if;
  if external_id is not null then
    perform from documents d
      where d.collection_id is not distinct from place and d.external_id = add_new_document.external_id;
    if found then
      return;
    end if;
  end if;
  if collection is not null and place is null then
    insert into collections (name) values (collection) on conflict (owner_id, name) do nothing;
    select c.id into place from collections c where c.name = collection;
  end if;
  insert into files (sha256, size) values (sha256, octet_length(data)) returning id into file;
  insert into file_parts (file_id, position, data) values (file, 0, data);
  insert into documents
    (file_id, collection_id, filename, external_id, metadata, priority, traceparent)
  values (file, place, filename, external_id, metadata, priority, traceparent)
  returning id into document_id;
  insert into processing_jobs (document_id, generation, stage, priority, max_attempts)
  values (document_id, 1, 'parse', priority, max_attempts)
  returning id into job;
  -- A hint for idle workers, as wake_workers of job_queue.sql gives it.
  perform pg_notify('docmill_jobs', '')
    where exists (select from workers where idle and seen_at > now() - interval '5 minutes');
  select count(*) into position
  from (
    select from unnest(stages, priorities) as l (stage, priority)
    cross join lateral (
      select from processing_jobs j
      where j.status = 'queued' and j.stage = l.stage and j.priority = l.priority
        and (l.priority < add_new_document.priority and j.run_at <= now()
             or l.priority = add_new_document.priority and (j.run_at, j.id) <= (now(), job))
      order by j.run_at, j.id
      limit line_end) j
    where l.priority <= add_new_document.priority
    limit line_end
  ) before;
  return next;
end $$;

do $$
declare
  made regprocedure;
begin
  foreach made in array array['document_statuses(uuid, uuid[], int, text[], smallint[])',
      'add_new_document(uuid, bytea, bytea, text, text, text, jsonb, smallint, text, int, int, text[],'
      ' smallint[])']::regprocedure[] loop
    execute format('revoke execute on function %s from public', made);
    execute format('grant execute on function %s to docmill_api', made);
  end loop;
end $$;
