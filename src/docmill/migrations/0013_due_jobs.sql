-- How much there is to do, for whoever starts and ends workers as needed (KEDA and its like): what is
-- due, what runs, and what webhooks are to be told now. Not what waits for a later try, or in a stage
-- that an operator let rest. What runs counts, because whoever ends the workers at zero would else end
-- them in the middle of the last jobs. Counted up to a thousand of each: nobody starts more.
create function due_jobs() returns bigint
language sql stable security definer set search_path = docmill, pg_temp as $$
  select count(*) from (
    (select from processing_jobs where status = 'running' limit 1000)
    union all
    (select from processing_jobs j
     where j.status = 'queued' and j.run_at <= now()
       and not exists (select from stage_limits l where l.stage = j.stage and l.paused)
     limit 1000)
    union all
    (select from webhook_deliveries d join webhooks w on w.id = d.webhook_id
     where d.status = 'waiting' and d.run_at <= now() and w.disabled_at is null
       and (w.paused_until is null or w.paused_until <= now())
     limit 1000)
    union all
    (select from webhook_deliveries where status = 'sending' limit 1000)
  ) as work
$$;

-- As the other functions over all owners. Schedulers log in as a role that may call these and
-- nothing else.
reset role;
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant docmill_worker to %I', current_user);
  end if;
  grant create on schema docmill to docmill_worker;
  alter function docmill.due_jobs() owner to docmill_worker;
  revoke execute on function docmill.due_jobs() from public;
  grant execute on function docmill.due_jobs(), docmill.has_due_work(), docmill.tick_is_due()
    to docmill_scheduler;
  revoke create on schema docmill from docmill_worker;
end $$;
set local role docmill_owner;
