-- An embedding service that fails is left alone for a while, by all workers and for all documents:
-- the row says until when. It goes with the first answer that is good.
create table embedding_services (
  name text primary key,
  failures int not null check (failures >= 1),
  paused_until timestamptz not null,
  error jsonb not null
);

-- What an embedding service was paid for, by the text's hash, in a commit of its own right after the
-- answer: a crash before the stage's commit does not pay again. Kept for a while, then pruned.
create table paid_embeddings (
  owner_id uuid not null,
  model_id int not null references embedding_models,
  text_sha256 bytea not null check (octet_length(text_sha256) = 32),
  embedding vector not null,
  created_at timestamptz not null default now(),
  primary key (owner_id, model_id, text_sha256)
);
create index paid_embeddings_by_age on paid_embeddings (created_at);

-- Since when a job waits for a service: the document's own attempts are not used up by that, but
-- nobody waits for ever.
alter table processing_jobs add column waiting_since timestamptz;
grant update (waiting_since) on processing_jobs to docmill_api; -- a retry waits anew

alter table embedding_services enable row level security;
alter table embedding_services force row level security;
create policy worker on embedding_services to docmill_worker using (true) with check (true);
create policy readable on embedding_services for select to docmill_api using (true);
grant select, insert, update, delete on embedding_services to docmill_worker;
grant select on embedding_services to docmill_api;

alter table paid_embeddings enable row level security;
alter table paid_embeddings force row level security;
create policy worker on paid_embeddings to docmill_worker using (true) with check (true);
create policy own_rows on paid_embeddings to docmill_api
  using (owner_id = (select current_owner())) with check (owner_id = (select current_owner()));
grant select, insert, update, delete on paid_embeddings to docmill_worker;
