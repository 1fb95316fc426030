-- Uploads that go on after a cut. What is acknowledged is committed: `received` moves in the very
-- statement that keeps the bytes, from the offset that both sides know, by the request that holds the
-- upload. An older request, whose connection may be dead, finds no row.

-- create --
insert into uploads (file_id, length, said, metadata, holder, expires_at)
values (%(file_id)s, %(length)s, %(said)s, %(metadata)s, %(holder)s,
        now() + make_interval(secs => %(expiry)s))
returning id, expires_at;

-- hold_file --
-- Its bytes are kept as long as the upload is.
update files set receiving_until = 'infinity' where id = %(file_id)s;

-- find --
select id, file_id, length, received, said, metadata, document_id, outcome, expires_at,
       expires_at < now() as expired
from uploads where id = %(id)s;

-- take --
-- The newest request holds the upload. A length that was left open may be said now; one that is
-- reached already is kept when the document is made.
update uploads
set holder = %(holder)s,
    length = coalesce(length, case when %(length)s > received then %(length)s end),
    expires_at = now() + make_interval(secs => %(expiry)s)
where id = %(id)s and document_id is null and expires_at >= now()
  and (length is null or %(length)s::bigint is null or length = %(length)s)
  and (%(length)s::bigint is null or received <= %(length)s)
returning id, file_id, length, received, said, metadata, document_id, outcome, expires_at,
          false as expired;

-- drop_unconfirmed --
-- Parts of a slice whose checksum never came.
delete from file_parts where file_id = %(file_id)s and position >= %(received)s;

-- leave --
-- Nobody holds the upload: who asks how far it is, and goes on from there, is not overtaken.
update uploads set holder = null where id = %(id)s and document_id is null;

-- advance --
-- An offset compare-and-swap, in the transaction that keeps the bytes. No row: another request holds
-- the upload, or it is not where this one thinks. The part that follows is planned without its bytes,
-- which the planner would copy again and again.
update uploads
set received = %(after)s, expires_at = now() + make_interval(secs => %(expiry)s)
where id = %(id)s and holder = %(holder)s and received = %(before)s and document_id is null
returning expires_at, set_config('plan_cache_mode', 'force_generic_plan', true);

-- is_held --
select 1 from uploads
where id = %(id)s and holder = %(holder)s and received = %(before)s and document_id is null
for no key update;

-- add_part --
insert into file_parts (file_id, position, data) values (%(file_id)s, %(position)s, %(data)s);

-- read_parts --
-- For the digest of what came before this process knew of the upload; a few parts at a time.
select position, data from file_parts
where file_id = %(file_id)s and position >= %(position)s and position < %(end)s
order by position limit 4;

-- become_document --
-- The upload's last offset, in the transaction that makes its bytes a document.
update uploads
set length = %(size)s, received = %(size)s, document_id = %(document_id)s, outcome = %(outcome)s, file_id = null,
    holder = null
where id = %(id)s
returning expires_at;

-- end --
-- The upload is given up, and its bytes with it; a document that it has become stays.
with gone as (
  delete from uploads where id = %(id)s returning file_id
)
update files set receiving_until = now() - interval '1 microsecond'
where id in (select file_id from gone) and receiving_until is not null;
