-- Attempts that end in one statement are counted in one, where 0012 counted each by itself: those of a group of small
-- documents end together. Whatever is updated here ends by that, for what has ended is history.
--
-- As in 0012, an attempt that failed is told from one that is tried again by the job's row, which is changed before.
-- The row is looked for by its key, however many attempts a planner takes the statement to be about.
reset role;
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant docmill_worker to %I', current_user);
  end if;
end $$;
grant create on schema docmill to docmill_worker;
set local role docmill_worker;
create or replace function docmill.tally_attempt() returns trigger
language plpgsql security definer set search_path = docmill, pg_temp as $$
begin
  insert into tallies (subject, outcome, reason, bucket, n, micros, units)
  select e.subject, e.outcome, e.reason, width_bucket(e.took, tally_bounds()), count(*),
         sum((e.took * 1e6)::bigint), sum(e.units)
  from (
    select job.stage as subject,
           case when job.status = 'failed' then 'failed'
                when a.outcome = 'failed' then 'retried' else a.outcome end as outcome,
           coalesce(a.error ->> 'code', '') as reason,
           greatest(extract(epoch from a.ended_at - a.started_at)::float8, 0) as took,
           case when a.outcome = 'succeeded' then job.done else 0 end as units
    from updated a
    cross join lateral (
      select stage, status, done from processing_jobs where id = a.job_id limit 1) job
    where a.ended_at is not null) e
  group by 1, 2, 3, 4;
  return null;
end $$;
grant execute on function docmill.tally_attempt() to docmill_owner;  -- to make the trigger
reset role;
revoke create on schema docmill from docmill_worker;
set local role docmill_owner;

drop trigger ended_is_counted on job_attempts;
create trigger ended_is_counted after update on job_attempts
  referencing new table as updated for each statement execute function tally_attempt();

reset role;
set local role docmill_worker;
revoke execute on function docmill.tally_attempt() from docmill_owner;
reset role;
set local role docmill_owner;
