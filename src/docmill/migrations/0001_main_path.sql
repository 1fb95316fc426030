-- Documents, their bytes, the queue, the audit trail and what is searched.
--
-- Every table with users' data carries owner_id, foreign keys carry it too (foreign-key checks
-- ignore row-level security, so a key without the owner could tie a row to another owner's), and
-- unique constraints that a user can hit begin with it (else a violation tells what others have).
--
-- Lock order, for whoever takes more than one row lock in a transaction:
--   processing_jobs by id, then documents by id, then everything else.
-- Claiming never waits for a job (skip locked), so it fits in.

-- Who is asking. Set per transaction by the API, as {"sub": "<uuid>"}; the form of Supabase's
-- tokens, so that they fit later. Empty after an earlier transaction on the same connection.
create function current_owner() returns uuid language sql stable
  return (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;

create table collections (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default current_owner(),
  name text not null check (char_length(name) between 1 and 200),
  created_at timestamptz not null default now(),
  unique (owner_id, id),
  unique (owner_id, name)
);

-- Content, by its SHA-256: documents with the same bytes share one row.
-- While bytes arrive there is no hash yet, and receiving_until moves on with each part; a row
-- whose time has passed belongs to an upload that was cut off, and is pruned.
create table files (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default current_owner(),
  sha256 bytea check (octet_length(sha256) = 32),
  size bigint not null default 0 check (size >= 0),
  receiving_until timestamptz,
  created_at timestamptz not null default now(),
  unique (owner_id, id),
  unique (owner_id, sha256),
  constraint complete_means_hashed check ((sha256 is null) = (receiving_until is not null)),
  constraint complete_means_not_empty check (sha256 is null or size > 0)
);
create index files_being_received on files (receiving_until) where receiving_until is not null;

create table file_parts (
  owner_id uuid not null default current_owner(),
  file_id uuid not null,
  position bigint not null check (position >= 0),
  data bytea not null check (octet_length(data) between 1 and 1048576),
  primary key (file_id, position),
  foreign key (owner_id, file_id) references files (owner_id, id) on delete cascade
) with (autovacuum_vacuum_scale_factor = 0.02);
-- Documents are compressed already: compressing again costs nearly half of the speed.
alter table file_parts alter column data set storage external;

-- A document is what was uploaded, with the state of its latest generation. Reprocessing makes a
-- new generation; `serving` is the one that is searched, and changes in one commit.
create table documents (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default current_owner(),
  collection_id uuid,
  file_id uuid not null,
  filename text not null check (octet_length(filename) between 1 and 255),
  media_type text,
  external_id text check (char_length(external_id) between 1 and 200),
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  status text not null default 'queued',
  stage text,
  version bigint not null default 1,
  generation int not null default 1 check (generation >= 1),
  serving int check (serving between 1 and generation),
  pages_done int not null default 0 check (pages_done >= 0),
  pages_total int check (pages_total >= pages_done),
  chunks_done int not null default 0 check (chunks_done >= 0),
  chunks_total int check (chunks_total >= chunks_done),
  embedded_done int not null default 0 check (embedded_done between 0 and chunks_done),
  error jsonb,
  warnings jsonb not null default '[]' check (jsonb_typeof(warnings) = 'array'),
  created_at timestamptz not null default now(),
  started_at timestamptz,
  changed_at timestamptz not null default now(),
  completed_at timestamptz,
  unique (owner_id, id),
  foreign key (owner_id, collection_id) references collections (owner_id, id),
  foreign key (owner_id, file_id) references files (owner_id, id),
  constraint known_status
    check (status in ('queued', 'processing', 'completed', 'failed', 'cancelled')),
  constraint known_stage check (stage in ('parse', 'chunk', 'embed')),
  constraint a_stage_only_while_processing check ((status = 'processing') = (stage is not null)),
  constraint failed_says_why check ((status = 'failed') = (error is not null)),
  constraint completed_says_when check ((status = 'completed') = (completed_at is not null)),
  constraint completed_is_served check (status <> 'completed' or serving = generation),
  constraint completed_is_whole check (status <> 'completed' or (
    pages_done = pages_total and chunks_done = chunks_total and embedded_done = chunks_total)),
  constraint processing_has_started check (status <> 'processing' or started_at is not null)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index documents_newest on documents (owner_id, created_at desc, id desc);
create index documents_by_file on documents (file_id);
create index documents_by_collection on documents (collection_id) where collection_id is not null;

create table pages (
  owner_id uuid not null,
  document_id uuid not null,
  generation int not null,
  number int not null check (number >= 1),
  text text not null,
  primary key (document_id, generation, number),
  foreign key (owner_id, document_id) references documents (owner_id, id) on delete cascade
);

-- char_start and char_end count characters in the text of the pages joined by two line feeds.
-- words is built by docmill (lexical.py): PostgreSQL's parser can't segment Chinese or Japanese.
create table chunks (
  owner_id uuid not null,
  document_id uuid not null,
  generation int not null,
  ordinal int not null check (ordinal >= 0),
  text text not null check (text <> ''),
  page_first int not null,
  page_last int not null check (page_last >= page_first),
  char_start bigint not null check (char_start >= 0),
  char_end bigint not null check (char_end > char_start),
  headings text[] not null default '{}',
  words tsvector not null,
  primary key (document_id, generation, ordinal),
  foreign key (owner_id, document_id) references documents (owner_id, id) on delete cascade
);
create index chunks_by_words on chunks using gin (words);

-- One row and one index (made by `docmill migrate`) per model: a vector index needs one dimension.
create table embedding_models (
  id int generated always as identity primary key,
  name text not null unique,
  dimensions int not null check (dimensions between 1 and 2000)
);

create table embeddings (
  owner_id uuid not null,
  document_id uuid not null,
  generation int not null,
  ordinal int not null,
  model_id int not null references embedding_models,
  embedding vector not null,
  primary key (document_id, generation, ordinal, model_id),
  foreign key (document_id, generation, ordinal)
    references chunks (document_id, generation, ordinal) on delete cascade,
  foreign key (owner_id, document_id) references documents (owner_id, id) on delete cascade
);

-- The queue. One row per job; (document, generation, stage, part) is unique, so that a follow-up
-- can't be doubled. The lease is told by the database's clock alone.
-- `released` counts the attempts that cost nothing: given back at a drain, or forgiven by a retry.
-- It is a count of its own because `attempt` is the key of the history and never goes back.
create table processing_jobs (
  id bigint generated always as identity primary key,
  owner_id uuid not null default current_owner(),
  document_id uuid not null,
  generation int not null,
  stage text not null,
  part int not null default 0 check (part >= 0),
  span jsonb,
  status text not null default 'queued',
  priority smallint not null default 0,
  run_at timestamptz not null default now(),
  attempt int not null default 0,
  released int not null default 0 check (released between 0 and attempt),
  max_attempts int not null check (max_attempts >= 1),
  lease_token uuid,
  lease_until timestamptz,
  worker text,
  done int not null default 0 check (done >= 0),
  total int check (total >= done),
  checkpoint jsonb,
  error jsonb,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  unique (document_id, generation, stage, part),
  unique (owner_id, id),
  foreign key (owner_id, document_id) references documents (owner_id, id) on delete cascade,
  constraint known_stage check (stage in ('parse', 'chunk', 'embed')),
  constraint known_status
    check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  constraint running_holds_a_lease check ((status = 'running') = (lease_token is not null)),
  constraint a_lease_has_an_end check ((lease_token is null) = (lease_until is null)),
  constraint running_says_who check (status <> 'running' or worker is not null),
  constraint running_is_counted check (status <> 'running' or attempt > 0),
  constraint ended_says_when
    check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
  constraint failed_says_why check (status <> 'failed' or error is not null),
  constraint succeeded_is_whole check (status <> 'succeeded' or (done = total and error is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_analyze_scale_factor = 0.02);
create index jobs_to_claim on processing_jobs (priority, run_at, id) where status = 'queued';
create index jobs_leased on processing_jobs (lease_until) where status = 'running';

-- The audit trail: one row per attempt, never changed after it ended.
create table job_attempts (
  owner_id uuid not null,
  job_id bigint not null,
  attempt int not null check (attempt >= 1),
  worker text not null,
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  outcome text,
  error jsonb,
  primary key (job_id, attempt),
  foreign key (owner_id, job_id) references processing_jobs (owner_id, id) on delete cascade,
  constraint known_outcome
    check (outcome in ('succeeded', 'failed', 'lease_expired', 'released', 'cancelled')),
  constraint ended_says_how check ((ended_at is null) = (outcome is null)),
  constraint failed_says_why
    check (coalesce(outcome in ('failed', 'lease_expired'), false) = (error is not null))
);
create unique index one_running_attempt on job_attempts (job_id) where ended_at is null;

create function refuse_to_rewrite_history() returns trigger language plpgsql as $$
begin
  raise exception 'attempt % of job % has ended and is history', old.attempt, old.job_id
    using errcode = 'integrity_constraint_violation';
end $$;
create trigger ended_is_history before update on job_attempts
  for each row when (old.ended_at is not null) execute function refuse_to_rewrite_history();

-- Who works. Not users' data: no owner, readable to the API so that it can say "no worker is live".
create table workers (
  id text primary key,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  idle boolean not null default false,
  slots int not null check (slots >= 1)
);

-- Row-level security: the API sees and writes its current owner's rows, workers see all rows.
do $$
declare
  name text;
begin
  foreach name in array array['collections', 'files', 'file_parts', 'documents', 'pages', 'chunks',
                              'embeddings', 'processing_jobs', 'job_attempts'] loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy worker on %I to docmill_worker using (true) with check (true)',
                   name);
    execute format('create policy own_rows on %I to docmill_api using (owner_id = (select'
                   ' current_owner())) with check (owner_id = (select current_owner()))', name);
    execute format('grant select, insert, update, delete on %I to docmill_worker', name);
  end loop;
  foreach name in array array['embedding_models', 'workers'] loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy readable on %I for select to docmill_api using (true)', name);
    execute format('create policy worker on %I to docmill_worker using (true) with check (true)',
                   name);
    execute format('grant select on %I to docmill_api', name);
  end loop;
end $$;
-- Which models there are is set up by whoever migrates, acting as the owner.
create policy set_up on embedding_models to docmill_owner using (true) with check (true);
grant select, insert, update, delete on workers to docmill_worker;
grant select on embedding_models to docmill_worker;

grant select, insert on collections to docmill_api;
grant select, insert, update, delete on files to docmill_api;
grant select, insert, delete on file_parts to docmill_api;
grant select, insert, delete on documents to docmill_api;
grant select on pages, chunks, embeddings, job_attempts to docmill_api;
grant insert on processing_jobs to docmill_api;
-- Lease tokens stay out of reach: who knows one could finish another worker's job.
grant select (id, owner_id, document_id, generation, stage, part, span, status, priority, run_at,
              attempt, released, max_attempts, lease_until, worker, done, total, error, created_at,
              started_at, finished_at)
  on processing_jobs to docmill_api;
-- What cancel, retry and reprocess change, and nothing else.
grant update (status, run_at, released, lease_token, lease_until, error, finished_at)
  on processing_jobs to docmill_api;
grant update (ended_at, outcome) on job_attempts to docmill_api;
grant update (status, stage, version, generation, pages_done, pages_total, chunks_done,
              chunks_total, embedded_done, error, warnings, started_at, changed_at, completed_at)
  on documents to docmill_api;
