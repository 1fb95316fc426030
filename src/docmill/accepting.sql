-- The one commit that makes received bytes a document. Lock order: jobs, documents, the rest.

-- add_new --
-- All of it for bytes that fit in one part and are no document of the collection yet, by a function that
-- the server's session has planned: migrations/0017. No row: they are, and nothing was written.
-- `asking` is null where the transaction has said who asks.
select document_id, position from add_new_document(
  %(asking)s, %(sha256)b, %(data)b, %(collection)s, %(filename)s, %(external_id)s, %(metadata)s,
  %(priority)s, %(traceparent)s, %(max_attempts)s,
  %(line_end)s, %(stages)s::text[], %(priorities)s::smallint[]);

-- find_content --
-- The same bytes of the same owner are kept once. Not locked: a document that is here already is
-- locked after this, and files come last in the order. Where the last document with these bytes is
-- deleted meanwhile, the new one's foreign key tells, and whoever accepts looks again.
select id from files where sha256 = %(sha256)s;

-- begin_file --
insert into files (receiving_until) values (now() + make_interval(secs => %(patience)s))
returning id;

-- add_file --
-- A file whose bytes are all here and fit in one part.
with whole as (
  insert into files (sha256, size) values (%(sha256)s, %(size)s) returning id
), kept as (
  insert into file_parts (file_id, position, data) select id, 0, %(data)s from whole
)
select id from whole;

-- keep_alive --
-- Moves the deadline of a file on. And for this transaction: statements are planned without their values.
-- With them, a part of a mebibyte is a constant, which the planner copies again and again.
update files
set receiving_until = greatest(receiving_until, now() + make_interval(secs => %(patience)s))
where id = %(file_id)s and receiving_until is not null
returning set_config('plan_cache_mode', 'force_generic_plan', true);

-- keep_part --
insert into file_parts (file_id, position, data) values (%(file_id)s, %(position)s, %(data)s);

-- complete_file --
-- What follows is planned with its values again.
update files set sha256 = %(sha256)s, size = %(size)s, receiving_until = null
where id = %(file_id)s and receiving_until is not null
returning set_config('plan_cache_mode', 'auto', true);

-- forget_file --
-- Bytes that were not taken, or that are here already.
delete from files where id = %(file_id)s and receiving_until is not null;

-- used_bytes --
select coalesce(sum(size), 0)::bigint as used from files;

-- add_collection --
insert into collections (name) values (%(name)s) on conflict (owner_id, name) do nothing;

-- find_collection --
select id from collections where name = %(name)s;

-- find_existing --
-- The document that these bytes, or this external_id, stand for already.
select id, status, generation, file_id, coalesce((error ->> 'retryable')::boolean, false) as passing
from documents
where collection_id is not distinct from %(collection_id)s::uuid
  and (external_id = %(external_id)s
       or (%(external_id)s::text is null and external_id is null and file_id = %(file_id)s));

-- add_document --
insert into documents
  (file_id, collection_id, filename, external_id, metadata, priority, traceparent)
values (%(file_id)s, %(collection_id)s, %(filename)s, %(external_id)s, %(metadata)s, %(priority)s,
        %(traceparent)s)
returning id;

-- add_first_job --
insert into processing_jobs (document_id, generation, stage, priority, max_attempts)
values (%(document_id)s, %(generation)s, 'parse', %(priority)s, %(max_attempts)s)
returning id;

-- replace_document --
-- A new generation, made of what was sent; the one that serves goes on serving until this one is
-- complete, and if it fails. Work on an earlier one was ended before. Returns the bytes that the
-- latest generation was to be made of until now: somebody else may still need them.
with before as (
  select id, file_id from documents where id = %(document_id)s for no key update
)
update documents d
set file_id = %(file_id)s, filename = %(filename)s, metadata = %(metadata)s,
    priority = %(priority)s, traceparent = %(traceparent)s, media_type = null,
    status = 'queued', stage = null, generation = d.generation + 1, error = null, warnings = '[]',
    pages_done = 0, pages_total = null, chunks_done = 0, chunks_total = null, embedded_done = 0,
    started_at = null, completed_at = null, version = d.version + 1, changed_at = now()
from before where d.id = %(document_id)s  -- and not before.id: that reads all of the owner's for a join
returning d.generation, before.file_id as former_file_id;
