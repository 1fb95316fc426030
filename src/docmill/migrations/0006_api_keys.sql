-- Who may use docmill, where it is not this machine's own: keys, and browsers that showed one.

-- The secret itself is nowhere: it has 256 bits by chance, so its hash is all that is needed.
create table api_keys (
  id text primary key check (id ~ '^[a-z2-7]{16}$'),
  owner_id uuid not null,
  owner_name text not null check (char_length(owner_name) between 1 and 200),
  label text not null check (char_length(label) <= 200),
  secret_sha256 bytea not null check (octet_length(secret_sha256) = 32),
  scopes text[] not null
    check (cardinality(scopes) > 0 and scopes <@ array['upload', 'read', 'admin', 'tick']),
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  last_used_from text,
  uses bigint not null default 0,
  unique (owner_id, id)
);

-- A browser that showed a key or a token once: its cookie is good until it expires.
create table browser_sessions (
  token_sha256 bytea primary key check (octet_length(token_sha256) = 32),
  owner_id uuid not null,
  key_id text,
  name text not null,
  scopes text[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  foreign key (owner_id, key_id) references api_keys (owner_id, id) on delete cascade
);
create index browser_sessions_by_owner on browser_sessions (owner_id, key_id);
create index browser_sessions_by_expiry on browser_sessions (expires_at);

do $$
declare
  name text;
begin
  foreach name in array array['api_keys', 'browser_sessions'] loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    -- Keys are made and revoked by whoever has the admin's address, acting as the owner of tables.
    execute format('create policy set_up on %I to docmill_owner using (true) with check (true)', name);
  end loop;
end $$;
-- Workers delete what has expired.
create policy worker on browser_sessions to docmill_worker using (true) with check (true);
grant select, delete on browser_sessions to docmill_worker;

-- The API can't read these tables. It asks by the very key or cookie that it was shown.
create function find_api_key(wanted text)
returns table (owner_id uuid, secret_sha256 bytea, scopes text[], label text)
language sql stable security definer set search_path = docmill, pg_temp
begin atomic
  select k.owner_id, k.secret_sha256, k.scopes, k.label from api_keys k
  where k.id = wanted and k.revoked_at is null and (k.expires_at is null or k.expires_at > now());
end;

create function note_key_uses(used text[], times bigint[], addresses text[]) returns void
language sql security definer set search_path = docmill, pg_temp
begin atomic
  update api_keys k set uses = k.uses + u.times, last_used_at = now(), last_used_from = u.address
  from unnest(used, times, addresses) as u (id, times, address) where k.id = u.id;
end;

create function open_session(token bytea, owner uuid, key text, called text, allowed text[],
                             seconds float8) returns void
language sql security definer set search_path = docmill, pg_temp
begin atomic
  insert into browser_sessions (token_sha256, owner_id, key_id, name, scopes, expires_at)
  values (token, owner, key, called, allowed, now() + make_interval(secs => seconds));
end;

-- A session ends with the key that it was opened by.
create function find_session(token bytea)
returns table (owner_id uuid, name text, scopes text[])
language sql stable security definer set search_path = docmill, pg_temp
begin atomic
  select s.owner_id, s.name, s.scopes from browser_sessions s
  left join api_keys k on k.id = s.key_id
  where s.token_sha256 = token and s.expires_at > now()
    and (s.key_id is null or (k.revoked_at is null and (k.expires_at is null or k.expires_at > now())));
end;

create function close_session(token bytea) returns void
language sql security definer set search_path = docmill, pg_temp
begin atomic
  delete from browser_sessions where token_sha256 = token;
end;

do $$
declare
  name text;
begin
  foreach name in array array[
      'find_api_key(text)', 'note_key_uses(text[], bigint[], text[])',
      'open_session(bytea, uuid, text, text, text[], float8)', 'find_session(bytea)',
      'close_session(bytea)'] loop
    execute format('revoke all on function %s from public', name);
    execute format('grant execute on function %s to docmill_api', name);
  end loop;
end $$;
