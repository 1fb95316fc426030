-- What its owner wants done first. It orders the owner's own documents; between owners it says
-- nothing, for they take turns.
alter table documents add column priority smallint not null default 0
  constraint known_priority check (priority in (-10, 0, 10));

-- How many jobs of a stage may run at once, on all machines together, and whether it rests. A stage
-- without a row has no limit.
create table stage_limits (
  stage text primary key constraint known_stage check (stage in ('parse', 'chunk', 'embed')),
  max_running int check (max_running >= 1),
  paused boolean not null default false,
  changed_at timestamptz not null default now()
);
alter table stage_limits enable row level security;
alter table stage_limits force row level security;
create policy worker on stage_limits to docmill_worker using (true) with check (true);
create policy readable on stage_limits for select to docmill_api using (true);
grant select, insert, update, delete on stage_limits to docmill_worker;
grant select on stage_limits to docmill_api;

-- The stages that may be claimed from now, and how many jobs of each; `room` is null without a limit.
-- Called by workers: it counts all owners' running jobs.
create function open_stages(service text) returns table (stage text, room int)
language sql stable
begin atomic
  select s.stage,
         l.max_running - (select count(*) from processing_jobs j
                          where j.status = 'running' and j.stage = s.stage)::int
  from (values ('parse'), ('chunk'), ('embed')) as s (stage)
  left join stage_limits l on l.stage = s.stage
  where not coalesce(l.paused, false)
    and not (s.stage = 'embed' and exists (
      select from embedding_services e where e.name = service and e.paused_until > now()));
end;
revoke execute on function open_stages(text) from public;
grant execute on function open_stages(text) to docmill_worker;

-- Claims walk from owner to owner and stage to stage, and take the first few of each.
drop index jobs_per_owner;
create index jobs_per_owner on processing_jobs (owner_id, stage, priority, run_at, id)
  where status = 'queued';
