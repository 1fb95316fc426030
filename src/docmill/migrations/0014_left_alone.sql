-- Left alone for a year: what is no longer needed goes by itself, and what stays does not bloat.

-- How far the sweep is that looks for what was left behind (retention.sql). One row: one worker sweeps
-- at a time, and the next one goes on where it stopped.
create table sweep (
  is_the_only_row boolean primary key default true constraint only_one check (is_the_only_row),
  document_id uuid not null default '00000000-0000-0000-0000-000000000000',
  job_id bigint not null default 0,
  next_at timestamptz not null default now()
);
insert into sweep default values;
alter table sweep enable row level security;
alter table sweep force row level security;
create policy worker on sweep to docmill_worker using (true) with check (true);
grant select, update on sweep to docmill_worker;
grant delete on operator_actions to docmill_worker;

-- The sweep walks these alone: a document of one generation, and a job of one attempt, left nothing behind.
create index documents_made_again on documents (id) where generation > 1;
create index jobs_tried_again on processing_jobs (id) where attempt > 1;
create index operator_actions_by_age on operator_actions (at);

-- An update writes no index (HOT) if no index mentions a column that it changes. `changed_at` moves with
-- every commit of progress; an index that named it had each of them write anew into all indexes of
-- documents. Operators who ask for failures sort those of a code.
create index documents_failed_by_code on documents ((error ->> 'code')) where status = 'failed';
drop index documents_failed;

-- Vacuum. By default it comes when a fifth of a table is dead: of a table of ten million rows, after two
-- million. These are cleaned at a fiftieth, as processing_jobs and documents are already.
alter table job_attempts set (autovacuum_vacuum_scale_factor = 0.02);
alter table files set (autovacuum_vacuum_scale_factor = 0.02);
-- Bytes lie in the TOAST table, and that one is what a deleted file leaves empty.
alter table file_parts set (toast.autovacuum_vacuum_scale_factor = 0.02);
alter table pages set (autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);
-- A dead passage is found, fetched and thrown away by every search until it is vacuumed.
alter table chunks set (autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);
alter table embeddings set (autovacuum_vacuum_scale_factor = 0.02);
alter table paid_embeddings set (autovacuum_vacuum_scale_factor = 0.05);
alter table idempotent_requests set (autovacuum_vacuum_scale_factor = 0.05);
alter table webhook_attempts set (autovacuum_vacuum_scale_factor = 0.02);
-- A few rows, written all the time: with room on the page each new version lies beside the old one.
alter table workers set (fillfactor = 50);
alter table embedding_services set (fillfactor = 50);
alter table api_keys set (fillfactor = 70);
alter table webhooks set (fillfactor = 70);
alter table sweep set (fillfactor = 50);
