-- Webhooks: where owners want to be told that a document has ended, and everything they are told.
--
-- What is to be told is written in the commit that ends the document and sent by workers afterwards,
-- at least once. Lock order, behind documents: webhooks by id, then webhook_deliveries, of which whoever
-- takes several skips what is locked.

-- `failures` counts the tries in a row that failed, `failing_since` is when that began; until
-- `paused_until` nothing is sent. One that is disabled is sent nothing, and nothing is written for it.
create table webhooks (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default current_owner(),
  url text not null check (octet_length(url) between 1 and 2000),
  description text not null default '' check (char_length(description) <= 500),
  events text[] not null check (cardinality(events) > 0 and events <@ array[
    'document.completed', 'document.failed', 'document.cancelled']),
  disabled_reason text constraint known_reason check (disabled_reason in ('asked', 'gone', 'failing')),
  disabled_at timestamptz,
  failures int not null default 0 check (failures >= 0),
  failing_since timestamptz,
  paused_until timestamptz,
  created_at timestamptz not null default now(),
  unique (owner_id, id),
  constraint disabled_says_when check ((disabled_at is null) = (disabled_reason is null)),
  constraint failing_says_since_when check ((failures > 0) = (failing_since is not null))
);

-- What deliveries are signed with, as it is: to sign takes the secret itself. The newest has no end; one that was replaced signs as well until
-- its end, so that receivers can change theirs meanwhile.
create table webhook_secrets (
  owner_id uuid not null default current_owner(),
  webhook_id uuid not null,
  secret bytea not null check (octet_length(secret) between 24 and 64),
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  foreign key (owner_id, webhook_id) references webhooks (owner_id, id) on delete cascade
);
create unique index one_secret_without_an_end on webhook_secrets (webhook_id) where expires_at is null;
create index webhook_secrets_by_webhook on webhook_secrets (webhook_id);

-- The outbox and the log: one row per event and webhook, with the body as it is sent. A document's
-- version names one end of it, so none is told twice, and each end after a retry is told.
-- `released` counts the tries that cost nothing: given back at a drain, or forgiven by a replay.
create table webhook_deliveries (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default current_owner(),
  webhook_id uuid not null,
  document_id uuid,
  version bigint,
  event text not null,
  body text not null,
  status text not null default 'waiting',
  attempt int not null default 0,
  released int not null default 0 check (released between 0 and attempt),
  run_at timestamptz not null default now(),
  lease_token uuid,
  lease_until timestamptz,
  worker text,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  unique (id, owner_id),
  unique (webhook_id, document_id, version),
  foreign key (owner_id, webhook_id) references webhooks (owner_id, id) on delete cascade,
  foreign key (owner_id, document_id) references documents (owner_id, id) on delete cascade,
  constraint known_status check (status in ('waiting', 'sending', 'delivered', 'failed')),
  constraint of_a_document_or_none check ((document_id is null) = (version is null)),
  constraint sending_holds_a_lease check (
    (status = 'sending') = (lease_token is not null) and (lease_token is null) = (lease_until is null)),
  constraint sending_says_who check (status <> 'sending' or (worker is not null and attempt > 0)),
  constraint ended_says_when check ((status in ('delivered', 'failed')) = (finished_at is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index deliveries_to_send on webhook_deliveries (webhook_id, run_at, id) where status = 'waiting';
create index deliveries_leased on webhook_deliveries (lease_until) where status = 'sending';
create index deliveries_newest on webhook_deliveries (owner_id, webhook_id, created_at desc, id desc);
create index deliveries_by_document on webhook_deliveries (document_id, owner_id);
create index deliveries_by_age on webhook_deliveries (created_at);

-- One row per try. `status_code` is the endpoint's answer, where one came.
create table webhook_attempts (
  owner_id uuid not null,
  delivery_id uuid not null,
  attempt int not null check (attempt >= 1),
  worker text not null,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  status_code int,
  error text check (char_length(error) <= 500),
  primary key (delivery_id, attempt),
  foreign key (owner_id, delivery_id) references webhook_deliveries (owner_id, id) on delete cascade
);

do $$
declare
  name text;
begin
  foreach name in array array[
      'webhooks', 'webhook_secrets', 'webhook_deliveries', 'webhook_attempts'] loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy worker on %I to docmill_worker using (true) with check (true)',
                   name);
    execute format('create policy own_rows on %I to docmill_api using (owner_id = (select'
                   ' current_owner())) with check (owner_id = (select current_owner()))', name);
    execute format('grant select, insert, update, delete on %I to docmill_worker', name);
  end loop;
end $$;

grant select, delete on webhooks to docmill_api;
grant insert (url, description, events) on webhooks to docmill_api;
grant update (url, description, events, disabled_reason, disabled_at, failures, failing_since,
              paused_until)
  on webhooks to docmill_api;
-- A secret is shown by the request that makes it and can't be read again, by any statement.
grant select (owner_id, webhook_id, created_at, expires_at), insert (webhook_id, secret),
      update (expires_at)
  on webhook_secrets to docmill_api;
-- The lease's token stays out of reach, as that of a job does.
grant select (id, owner_id, webhook_id, document_id, version, event, body, status, attempt, released,
              run_at, created_at, finished_at),
      insert (owner_id, webhook_id, document_id, version, event, body),
      update (status, run_at, released, finished_at)
  on webhook_deliveries to docmill_api;
grant select on webhook_attempts to docmill_api;

-- As 0007 has it; and what is to be sent is work, too.
reset role;
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant docmill_worker to %I', current_user);
  end if;
end $$;
grant create on schema docmill to docmill_worker;
set local role docmill_worker;
create or replace function docmill.has_due_work() returns boolean
language sql stable security definer set search_path = docmill, pg_temp as $$
  select exists (select from processing_jobs where status = 'queued' and run_at <= now())
      or exists (select from processing_jobs where status = 'running' and lease_until < now())
      or exists (select from webhook_deliveries d join webhooks w on w.id = d.webhook_id
                 where d.status = 'waiting' and d.run_at <= now() and w.disabled_at is null
                   and (w.paused_until is null or w.paused_until <= now()))
      or exists (select from webhook_deliveries where status = 'sending' and lease_until < now())
$$;
reset role;
revoke create on schema docmill from docmill_worker;
set local role docmill_owner;
