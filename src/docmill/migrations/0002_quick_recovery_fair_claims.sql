-- A worker whose process dies closes its connection, and the server knows it at once. So a worker
-- says with each beat which session it beats from; `is_direct` once two beats came from the same one
-- (behind a transaction pooler they may not, and then the lease alone decides).
alter table workers
  add column session_pid int,
  add column session_start timestamptz,
  add column is_direct boolean not null default false;

-- Claims walk from owner to owner and take the first few of each.
create index jobs_per_owner on processing_jobs (owner_id, priority, run_at, id)
  where status = 'queued';
