-- API keys, as whoever has the admin's address makes, lists and revokes them. The API itself finds
-- one by the functions of migrations/0006, and can't read the table.

-- create --
insert into docmill.api_keys (id, owner_id, owner_name, label, secret_sha256, scopes, expires_at)
values (%(id)s, %(owner_id)s, %(owner_name)s, %(label)s, %(secret_sha256)s, %(scopes)s,
        now() + make_interval(secs => %(seconds)s::float8));

-- list_keys --
select id, owner_id, owner_name, label, scopes, created_at, expires_at, revoked_at, last_used_at,
       last_used_from, uses,
       case when revoked_at is not null then 'revoked'
            when expires_at < now() then 'expired' else 'good' end as state
from docmill.api_keys order by created_at desc, id;

-- revoke --
update docmill.api_keys set revoked_at = now() where id = %(id)s and revoked_at is null
returning id;

-- find --
-- By the id that was shown; row-level security hides the table itself from the API.
select owner_id, secret_sha256, scopes, label from find_api_key(%(id)s);

-- note_uses --
select note_key_uses(%(ids)s, %(times)s, %(addresses)s);

-- open_session --
select open_session(%(token)s, %(owner_id)s, %(key_id)s, %(name)s, %(scopes)s, %(seconds)s);

-- find_session --
select owner_id, name, scopes from find_session(%(token)s);

-- close_session --
select close_session(%(token)s);
