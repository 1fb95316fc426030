-- Bytes on their way in. A large upload is committed part by part, under a row of `files` that has
-- no hash yet: a transaction that stayed open for an hour-long upload would hold a connection, and
-- would keep every dead row of the queue from being vacuumed. Nobody sees the bytes before the one
-- commit that completes the file and adds document and first job.

-- begin_file --
insert into files (receiving_until) values (now() + make_interval(secs => %(patience)s))
returning id;

-- keep_part --
-- The row moves its deadline on; without the row (it was pruned) the part is refused.
with alive as (
  update files set receiving_until = now() + make_interval(secs => %(patience)s)
  where id = %(file_id)s and receiving_until is not null
  returning id
)
insert into file_parts (file_id, position, data)
select id, %(position)s, %(data)s from alive
returning position;

-- find_content --
-- The same bytes of the same owner are kept once. The lock keeps a deletion of the last document
-- with these bytes from taking them away under us.
select id from files where sha256 = %(sha256)s for key share;

-- complete_file --
update files set sha256 = %(sha256)s, size = %(size)s, receiving_until = null
where id = %(file_id)s and receiving_until is not null
returning id;

-- forget_file --
-- An upload that failed, or whose bytes are here already.
delete from files where id = %(file_id)s and receiving_until is not null;

-- prune --
-- Uploads that were cut off together with their server. A few at a time.
delete from files where id in (
  select id from files where receiving_until < now() order by receiving_until limit 20
  for update skip locked);

-- add_collection --
insert into collections (name) values (%(name)s) on conflict (owner_id, name) do nothing;

-- find_collection --
select id from collections where name = %(name)s;

-- add_document --
insert into documents (file_id, collection_id, filename, external_id, metadata, priority)
values (%(file_id)s, %(collection_id)s, %(filename)s, %(external_id)s, %(metadata)s, %(priority)s)
returning id, status;

-- add_first_job --
insert into processing_jobs (document_id, generation, stage, priority, max_attempts)
values (%(document_id)s, 1, 'parse', %(priority)s, %(max_attempts)s)
returning id;
