-- What operators see and do, over all owners: the queue, its history, who works, what failed and why.
-- The API's role sees one owner's rows at a time; what it may see of all of them goes through the
-- functions below, which decide nothing: whoever may call them is decided where a request comes in.

-- A worker that is drained finishes what it holds and claims nothing until it is let on again.
alter table workers add column draining boolean not null default false;

-- The queue once a minute, written by whichever worker comes first: how much waits and runs, how long
-- the oldest has waited, and what ended in the minute before. Kept for a week.
create table queue_samples (
  at timestamptz not null,
  subject text not null constraint known_subject
    check (subject in ('document', 'parse', 'chunk', 'embed')),
  waiting int not null check (waiting >= 0),
  running int not null check (running >= 0),
  oldest_seconds int check (oldest_seconds >= 0),
  finished int not null check (finished >= 0),
  failed int not null check (failed >= 0),
  primary key (at, subject)
);

-- Who did what to what, and when. Written in the commit of the act, or before acts of many commits.
create table operator_actions (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  operator text not null check (char_length(operator) between 1 and 200),
  action text not null constraint known_action
    check (action in ('pause', 'resume', 'limit', 'drain', 'undrain', 'retry')),
  subject text not null,
  details jsonb not null default '{}' check (jsonb_typeof(details) = 'object')
);

do $$
declare
  name text;
begin
  foreach name in array array['queue_samples', 'operator_actions'] loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy worker on %I to docmill_worker using (true) with check (true)',
                   name);
  end loop;
end $$;
grant select, insert, delete on queue_samples to docmill_worker;
grant select, insert on operator_actions to docmill_worker;

-- What ended lately, for the samples; failures by their reason, for who looks at them.
create index attempts_by_end on job_attempts (ended_at) where ended_at is not null;
create index documents_failed on documents ((error ->> 'code'), changed_at) where status = 'failed';

create function operator_stages() returns table (
  stage text, due bigint, later bigint, running bigint, oldest_at timestamptz,
  max_running int, paused boolean
) language sql stable security definer set search_path = docmill, pg_temp as $$
  select s.stage,
         count(j.id) filter (where j.status = 'queued' and j.run_at <= now()),
         count(j.id) filter (where j.status = 'queued' and j.run_at > now()),
         count(j.id) filter (where j.status = 'running'),
         min(j.run_at) filter (where j.status = 'queued' and j.run_at <= now()),
         max(l.max_running), coalesce(bool_or(l.paused), false)
  from (values (1, 'parse'), (2, 'chunk'), (3, 'embed')) as s (number, stage)
  left join stage_limits l on l.stage = s.stage
  left join processing_jobs j on j.stage = s.stage and j.status in ('queued', 'running')
  group by s.number, s.stage
  order by s.number
$$;

-- `state`: live, late (it should have beaten twice since), gone (no longer than its row is kept).
create function operator_workers(lease float8) returns table (
  id text, started_at timestamptz, seen_at timestamptz, state text, idle boolean,
  draining boolean, slots int, holds jsonb
) language sql stable security definer set search_path = docmill, pg_temp as $$
  select w.id, w.started_at, w.seen_at,
         case when w.seen_at > now() - make_interval(secs => lease / 2) then 'live'
              when w.seen_at > now() - make_interval(secs => greatest(10, lease)) then 'late'
              else 'gone' end,
         w.idle, w.draining, w.slots,
         coalesce((
           select jsonb_agg(jsonb_build_object(
             'job_id', j.id, 'document_id', j.document_id, 'owner_id', j.owner_id,
             'stage', j.stage, 'part', j.part, 'attempt', j.attempt, 'done', j.done,
             'total', j.total, 'since', a.started_at) order by a.started_at, j.id)
           from processing_jobs j
           join job_attempts a on a.job_id = j.id and a.attempt = j.attempt
           where j.status = 'running' and j.worker = w.id), '[]')
  from workers w
  order by w.started_at, w.id
$$;

-- Documents that failed, and documents that wait for another try, by the reason and the stage.
create function operator_failures() returns table (
  state text, code text, stage text, documents bigint, owners bigint, last_at timestamptz
) language sql stable security definer set search_path = docmill, pg_temp as $$
  (select 'failed', d.error ->> 'code', d.error ->> 'stage', count(*), count(distinct d.owner_id),
          max(d.changed_at)
   from documents d where d.status = 'failed'
   group by 2, 3 order by 4 desc limit 50)
  union all
  (select 'waiting', j.error ->> 'code', j.stage, count(distinct j.document_id),
          count(distinct j.owner_id), max(j.run_at)
   from processing_jobs j where j.status = 'queued' and j.error is not null
   group by 2, 3 order by 4 desc limit 50)
$$;

create function operator_owners() returns table (
  owner_id uuid, waiting bigint, running bigint
) language sql stable security definer set search_path = docmill, pg_temp as $$
  select owner_id, count(*) filter (where status = 'queued'),
         count(*) filter (where status = 'running')
  from processing_jobs where status in ('queued', 'running')
  group by owner_id order by count(*) desc, owner_id limit 20
$$;

create function operator_samples(minutes int) returns setof queue_samples
language sql stable security definer set search_path = docmill, pg_temp as $$
  select * from queue_samples
  where at > date_trunc('minute', now()) - make_interval(mins => minutes)
  order by at, subject
$$;

create function operator_log(most int) returns setof operator_actions
language sql stable security definer set search_path = docmill, pg_temp as $$
  select * from operator_actions order by id desc limit most
$$;

-- Let a stage rest, go on, or run no more than so many jobs at once; null takes a limit away.
create function operator_limit(who text, which text, rests boolean, most int) returns void
language sql security definer set search_path = docmill, pg_temp as $$
  with before as (
    select coalesce(bool_or(paused), false) as paused, max(max_running) as max_running
    from stage_limits where stage = which
  ), limited as (
    insert into stage_limits (stage, paused, max_running) values (which, rests, most)
    on conflict (stage) do update
    set paused = excluded.paused, max_running = excluded.max_running, changed_at = now()
  )
  insert into operator_actions (operator, action, subject, details)
  select who, case when b.paused = rests then 'limit' when rests then 'pause' else 'resume' end,
         which, jsonb_build_object('max_running', most)
  from before b
$$;

-- False where there is no such worker: nothing was done then, and nothing is written down.
create function operator_drain(who text, which text, drains boolean) returns boolean
language sql security definer set search_path = docmill, pg_temp as $$
  with drained as (
    update workers set draining = drains where id = which returning id
  ), noted as (
    insert into operator_actions (operator, action, subject)
    select who, case when drains then 'drain' else 'undrain' end, id from drained
    returning id
  )
  select exists (select from noted)
$$;

-- The documents that a bulk retry is about, oldest failure first, and a line about it. They are retried
-- one by one by the API as each of their owners would: none is asked for twice, because those that fail
-- again fail later than `before`.
create function operator_failed(
  who text, failed_code text, failed_stage text, before timestamptz, most int
) returns table (id uuid, owner_id uuid)
language sql security definer set search_path = docmill, pg_temp as $$
  with failed as (
    select d.id, d.owner_id from documents d
    where d.status = 'failed' and d.error ->> 'code' = failed_code
      and d.error ->> 'stage' = failed_stage and d.changed_at < before
    order by d.changed_at limit most
  ), noted as (
    insert into operator_actions (operator, action, subject, details)
    select who, 'retry', failed_code,
           jsonb_build_object('stage', failed_stage, 'documents', count(*))
    from failed having count(*) > 0
  )
  select f.id, f.owner_id from failed f
$$;

-- The functions run as the role that sees all rows. To give them to it, whoever migrates acts as
-- itself for a moment: the tables' owner can't become that role.
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
    'operator_stages()', 'operator_workers(float8)', 'operator_failures()', 'operator_owners()',
    'operator_samples(int)', 'operator_log(int)', 'operator_limit(text, text, boolean, int)',
    'operator_drain(text, text, boolean)',
    'operator_failed(text, text, text, timestamptz, int)'
  ] loop
    execute format('alter function docmill.%s owner to docmill_worker', name);
    execute format('revoke execute on function docmill.%s from public', name);
    execute format('grant execute on function docmill.%s to docmill_api', name);
  end loop;
  revoke create on schema docmill from docmill_worker;
end $$;
set local role docmill_owner;
