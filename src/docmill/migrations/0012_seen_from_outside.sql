-- What docmill is seen by from outside: counts that never go back, the last tick, whose trace it is.

-- How long something took is counted by the bound it stays below, in seconds. These are the bounds of
-- the histograms at /metrics, and what was counted by them can't be counted by others any more.
create function tally_bounds() returns float8[] language sql immutable
  return array[0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400]::float8[];

-- What has ended, counted over all owners. A row is added in the very commit that ends it, by the
-- triggers below, so older versions count as well; and once a minute whichever worker comes first sums
-- the rows up to a few (sampling.sql). So their sum is what has really ended at any time, on all
-- machines, also of documents that were deleted since, and nobody waits for anybody: rows are only
-- added. Whole microseconds: a sum of fractions is not the same in every order, and would go back.
--
-- `bucket` is the number of the first bound above the time taken, from 0. `units` are pages, chunks or
-- texts. `reason` is an error's code, or empty.
create table tallies (
  subject text not null constraint known_subject
    check (subject in ('parse', 'chunk', 'embed', 'document', 'webhook', 'embedding')),
  outcome text not null,
  reason text not null,
  bucket smallint not null check (bucket >= 0),
  n bigint not null default 1 check (n >= 1),
  micros bigint not null check (micros >= 0),
  units bigint not null default 0 check (units >= 0)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- When a tick came last. Where ticks do the work there is no worker that lives on, and this is what
-- tells that documents are worked on.
create table last_tick (
  only_row boolean primary key default true check (only_row),
  at timestamptz not null
);

do $$
declare
  name text;
begin
  foreach name in array array['tallies', 'last_tick'] loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy worker on %I to docmill_worker using (true) with check (true)',
                   name);
  end loop;
end $$;
grant select, insert, delete on tallies to docmill_worker;
grant select, insert, update on last_tick to docmill_worker;
create policy readable on last_tick for select to docmill_api using (true);
grant select on last_tick to docmill_api;

-- The trace that the document's upload belongs to, as W3C Trace Context writes it; its stages go on
-- with it, in whatever process.
alter table documents add column traceparent text constraint known_traceparent
  check (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');
grant update (traceparent) on documents to docmill_api;

-- Who may read /metrics and nothing else: its key lies in the configuration of whatever asks.
alter table api_keys drop constraint api_keys_scopes_check, add constraint known_scopes
  check (cardinality(scopes) > 0 and scopes <@ array['upload', 'read', 'admin', 'tick', 'metrics']);

create function tally(
  subject text, outcome text, reason text, took float8, units bigint
) returns void language sql as $$
  insert into tallies (subject, outcome, reason, bucket, micros, units)
  values (subject, outcome, coalesce(reason, ''),
          width_bucket(greatest(took, 0), tally_bounds()), greatest(took, 0) * 1e6, units)
$$;
revoke execute on function tally(text, text, text, float8, bigint) from public;
grant execute on function tally(text, text, text, float8, bigint) to docmill_worker;

-- An attempt that failed is told from one that is tried again: the job's row says which, for it is
-- changed before. What was done counts with the job's success, once, however many attempts it took.
create function tally_attempt() returns trigger
language plpgsql security definer set search_path = docmill, pg_temp as $$
declare
  job record;
begin
  select stage, status, done into job from processing_jobs where id = new.job_id;
  perform tally(
    job.stage,
    case when job.status = 'failed' then 'failed'
         when new.outcome = 'failed' then 'retried' else new.outcome end,
    new.error ->> 'code',
    extract(epoch from new.ended_at - new.started_at)::float8,
    case when new.outcome = 'succeeded' then job.done else 0 end);
  return null;
end $$;
create trigger ended_is_counted after update on job_attempts
  for each row when (old.ended_at is null and new.ended_at is not null)
  execute function tally_attempt();

-- A document may be deleted while somebody works on it; the attempt goes with it and never ends.
create function tally_deleted() returns trigger
language plpgsql security definer set search_path = docmill, pg_temp as $$
begin
  perform tally(old.stage, 'deleted', '', extract(epoch from clock_timestamp() - a.started_at)::float8, 0)
  from job_attempts a where a.job_id = old.id and a.ended_at is null;
  return old;
end $$;
create trigger deleted_is_counted before delete on processing_jobs
  for each row when (old.status = 'running') execute function tally_deleted();

-- From the moment in which the work was asked for: the upload, or the wish to have it done anew.
create function tally_document() returns trigger
language plpgsql security definer set search_path = docmill, pg_temp as $$
begin
  perform tally(
    'document', new.status, new.error ->> 'code',
    extract(epoch from clock_timestamp() - coalesce(
      (select created_at from processing_jobs
       where document_id = new.id and generation = new.generation and stage = 'parse' and part = 0),
      new.created_at))::float8,
    0);
  return null;
end $$;
create trigger ended_is_counted after update of status on documents
  for each row when (old.status <> new.status and new.status in ('completed', 'failed', 'cancelled'))
  execute function tally_document();

create function tally_delivery() returns trigger
language plpgsql security definer set search_path = docmill, pg_temp as $$
begin
  perform tally(
    'webhook', coalesce(new.status_code / 100 || 'xx', 'none'), '',
    extract(epoch from new.ended_at - new.started_at)::float8, 0);
  return null;
end $$;
create trigger ended_is_counted after update on webhook_attempts
  for each row when (old.ended_at is null and new.ended_at is not null)
  execute function tally_delivery();

-- The queue, by stage. Only what is live is read, from the indexes that hold nothing else.
create function metrics_queue() returns table (
  stage text, due bigint, later bigint, running bigint, oldest_seconds float8, paused boolean
) language sql stable security definer set search_path = docmill, pg_temp as $$
  select s.stage, coalesce(q.due, 0), coalesce(q.later, 0), coalesce(r.running, 0),
         coalesce(extract(epoch from now() - q.oldest), 0)::float8, coalesce(l.paused, false)
  from (values ('parse'), ('chunk'), ('embed')) as s (stage)
  left join stage_limits l on l.stage = s.stage
  left join (
    select j.stage, count(*) filter (where j.run_at <= now()) as due,
           count(*) filter (where j.run_at > now()) as later,
           min(j.run_at) filter (where j.run_at <= now()) as oldest
    from processing_jobs j where j.status = 'queued' group by j.stage) q on q.stage = s.stage
  left join (
    select j.stage, count(*) as running
    from processing_jobs j where j.status = 'running' group by j.stage) r on r.stage = s.stage
$$;

create function metrics_deliveries() returns table (due bigint, later bigint, sending bigint)
language sql stable security definer set search_path = docmill, pg_temp as $$
  select w.due, w.later, s.sending
  from (select count(*) filter (where run_at <= now()) as due,
               count(*) filter (where run_at > now()) as later
        from webhook_deliveries where status = 'waiting') w,
       (select count(*) as sending from webhook_deliveries where status = 'sending') s
$$;

create function metrics_tallies() returns table (
  subject text, outcome text, reason text, bucket smallint, n bigint, micros bigint, units bigint
) language sql stable security definer set search_path = docmill, pg_temp as $$
  select subject, outcome, reason, bucket, sum(n)::bigint, sum(micros)::bigint, sum(units)::bigint
  from tallies group by subject, outcome, reason, bucket
$$;

-- For schedulers inside the database: as `has_due_work`, and where neither a worker nor a tick came for
-- minutes. What expires is then dropped on a quiet service as well, and /readyz knows that ticks come.
create function tick_is_due() returns boolean
language sql stable security definer set search_path = docmill, pg_temp as $$
  select has_due_work()
      or not exists (select from last_tick where at > now() - interval '5 minutes')
     and not exists (select from workers where seen_at > now() - interval '1 minute')
$$;

-- The functions run as the role that sees all rows, as in 0010.
reset role;
do $$
declare
  name text;
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant docmill_worker to %I', current_user);
  end if;
  grant create on schema docmill to docmill_worker;
  foreach name in array array[
    'tally_attempt()', 'tally_deleted()', 'tally_document()', 'tally_delivery()',
    'metrics_queue()', 'metrics_deliveries()', 'metrics_tallies()', 'tick_is_due()'
  ] loop
    execute format('alter function docmill.%s owner to docmill_worker', name);
    execute format('revoke execute on function docmill.%s from public', name);
    if name like 'metrics%' then
      execute format('grant execute on function docmill.%s to docmill_api', name);
    end if;
  end loop;
  execute format('grant execute on function docmill.tick_is_due() to %I', current_user);
  revoke create on schema docmill from docmill_worker;
end $$;
set local role docmill_owner;
