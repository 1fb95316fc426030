-- An upload costs the same however many documents its owner has, and known bytes in another collection take
-- as short a way as new ones. The function of 0015 looked for a document that is here already before it wrote. Its
-- plan was kept from when there was hardly a row, and then read all of the owner's for each external_id.

-- A document that nobody has sent before: itself and its first job, its bytes where they are not kept
-- already for another document of the owner's, and its place in line. No row: the collection has a
-- document of these bytes or this external_id. Then nothing of it is left here, and whoever calls looks
-- what becomes of that. The caller has seen to limits and to the name. The same bytes that come or are
-- deleted at this moment raise a violation, of the unique index or the foreign key.
--
-- The place is counted as in document_statuses: those that are claimed before a job that comes now.
create or replace function add_new_document(
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
  known boolean;
begin
  if asking is not null then
    perform set_config('request.jwt.claims', '{"sub": "' || asking || '"}', true);
  end if;
  select f.id into file from files f where f.sha256 = add_new_document.sha256;
  known := found;
  if collection is not null then
    select c.id into place from collections c where c.name = collection;
    if not found then
      insert into collections (name) values (collection) on conflict (owner_id, name) do nothing;
      select c.id into place from collections c where c.name = collection;
    end if;
  end if;
  if not known then
    insert into files (sha256, size) values (sha256, octet_length(data)) returning id into file;
  end if;
  -- Whether it is here already, its unique indexes say. To look for it before, in an empty table, any index
  -- that begins with the owner looks as good.
  insert into documents
    (file_id, collection_id, filename, external_id, metadata, priority, traceparent)
  values (file, place, filename, external_id, metadata, priority, traceparent)
  on conflict do nothing
  returning id into document_id;
  if not found then
    if not known then
      delete from files where id = file;
    end if;
    return;
  end if;
  if not known then
    insert into file_parts (file_id, position, data) values (file, 0, data);
  end if;
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
