-- Requests that carry an Idempotency-Key: the first one runs, the next ones get its answer.

-- begin --
-- Take the key: if nobody has it, or whoever had it stopped without an answer. No row: somebody has.
insert into idempotent_requests as r (key, until)
values (%(key)s, now() + make_interval(secs => %(patience)s))
on conflict (owner_id, key) do update set token = gen_random_uuid(), until = excluded.until
where r.fingerprint is null and r.until < now()
returning token;

-- find --
select fingerprint, status, answer, extract(epoch from until - now())::float8 as seconds
from idempotent_requests where key = %(key)s;

-- renew --
-- The request still runs. No row: somebody else took the key over.
update idempotent_requests set until = now() + make_interval(secs => %(patience)s)
where key = %(key)s and token = %(token)s and fingerprint is null
returning key;

-- finish --
-- In the transaction that does what was asked. No row: somebody else took the key over.
update idempotent_requests
set fingerprint = %(fingerprint)s, status = %(status)s, answer = %(answer)s,
    until = now() + make_interval(secs => %(kept)s)
where key = %(key)s and token = %(token)s and fingerprint is null
returning key;

-- forget --
-- The request was refused, and may be mended and sent again under the same key.
delete from idempotent_requests
where key = %(key)s and token = %(token)s and fingerprint is null;
