-- Bytes on their way in are committed part by part, under a row of `files` that has no hash yet: a
-- transaction that stayed open for an hour-long upload would hold a connection, and would keep every
-- dead row of the queue from being vacuumed. Nobody sees the bytes before the one commit that
-- completes the file (`accepting.sql`). What is left of those that never came to it is pruned here.

-- end_expired_uploads --
-- Resumable uploads whose time is over; their bytes become prey of the statements below.
with over as (
  select id, file_id from uploads where expires_at < now() order by expires_at limit 20
  for update skip locked
), gone as (
  delete from uploads where id in (select id from over)
)
update files set receiving_until = now() - interval '1 microsecond'
where id in (select file_id from over) and receiving_until is not null;

-- prune_parts --
-- In small batches: a file of gigabytes has thousands of parts. By ctid, as all that is pruned: the
-- rows are locked, and there is no join that could read the whole table.
delete from file_parts where ctid = any (array(
  select p.ctid
  from (select id from files where receiving_until < now() order by receiving_until limit 20) f
  cross join lateral (
    select ctid from file_parts where file_id = f.id limit 256 for update skip locked) p
  limit 256));

-- prune_files --
-- The rows themselves, once none of their parts is left.
delete from files f where ctid = any (array(
  select ctid from files where receiving_until < now() order by receiving_until limit 20
  for update skip locked))
and not exists (select from file_parts p where p.file_id = f.id);

-- prune_requests --
-- Answers are kept for a day; of requests that never ended nothing is worth keeping.
delete from idempotent_requests where ctid = any (array(
  select ctid from idempotent_requests where until < now() order by until limit 100
  for update skip locked));

-- prune_sessions --
-- Of browsers whose cookie is good no longer.
delete from browser_sessions where token_sha256 in (
  select token_sha256 from browser_sessions where expires_at < now() limit 100
 );
