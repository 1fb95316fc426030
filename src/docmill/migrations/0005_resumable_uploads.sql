-- Uploads that go on after a cut, requests that may be repeated, and documents that are replaced.

-- A document is its external_id if it has one, else its bytes: in a collection there is one of each.
-- PostgreSQL would take two documents outside of any collection for different ones.
create unique index one_document_per_external_id on documents (owner_id, collection_id, external_id)
  nulls not distinct where external_id is not null;
create unique index one_document_per_content on documents (owner_id, collection_id, file_id)
  nulls not distinct where external_id is null;

-- What the serving generation was made of. The other columns are the latest generation's, which may
-- be made of other bytes and still be in work, or have failed.
alter table documents
  add column served_file_id uuid,
  add column served_filename text,
  add column served_media_type text,
  add foreign key (owner_id, served_file_id) references files (owner_id, id);
update documents
  set served_file_id = file_id, served_filename = filename, served_media_type = media_type
  where serving is not null;
alter table documents add constraint serving_says_what
  check ((serving is null) = (served_file_id is null) and (serving is null) = (served_filename is null));
create index documents_by_served_file on documents (served_file_id);
grant update (file_id, filename, media_type, external_id, metadata, priority) on documents
  to docmill_api;

-- An upload by tus. `received` is what was acknowledged: so many bytes are committed parts of the
-- file. Parts behind it are of a slice whose checksum is still awaited, and count for nothing.
-- `holder` is the request that may add to it; the newest one wins.
create table uploads (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default current_owner(),
  file_id uuid,
  length bigint check (length > 0),
  received bigint not null default 0 check (received >= 0),
  said jsonb not null,
  metadata text not null,
  holder uuid,
  document_id uuid,
  outcome text,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  unique (owner_id, id),
  -- Looked at when the transaction ends: one that finds the same bytes here already drops its own
  -- before the upload lets go of them.
  foreign key (owner_id, file_id) references files (owner_id, id) deferrable initially deferred,
  foreign key (owner_id, document_id) references documents (owner_id, id) on delete cascade,
  constraint no_more_than_said check (received <= length),
  constraint a_document_when_whole check ((document_id is not null) = coalesce(received = length, false)),
  constraint bytes_until_then check ((document_id is null) = (file_id is not null)),
  constraint the_document_says_how check ((document_id is null) = (outcome is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index uploads_by_expiry on uploads (expires_at);
create index uploads_by_file on uploads (file_id);
create index uploads_by_document on uploads (document_id);

-- A request with an Idempotency-Key. While it runs, `until` moves on with it; whoever comes later
-- with the same key may take over one that has stopped. Finished, it is kept with its answer.
create table idempotent_requests (
  owner_id uuid not null default current_owner(),
  key text not null check (char_length(key) between 1 and 255),
  token uuid not null default gen_random_uuid(),
  until timestamptz not null,
  fingerprint bytea check (octet_length(fingerprint) = 32),
  status int,
  answer jsonb,
  primary key (owner_id, key),
  constraint finished_has_an_answer check (
    (fingerprint is null) = (status is null) and (fingerprint is null) = (answer is null))
);
create index idempotent_requests_by_end on idempotent_requests (until);

do $$
declare
  name text;
begin
  foreach name in array array['uploads', 'idempotent_requests'] loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy worker on %I to docmill_worker using (true) with check (true)',
                   name);
    execute format('create policy own_rows on %I to docmill_api using (owner_id = (select'
                   ' current_owner())) with check (owner_id = (select current_owner()))', name);
    execute format('grant select, insert, update, delete on %I to docmill_worker, docmill_api',
                   name);
  end loop;
end $$;
