-- Whether a tick would find something to do, for schedulers inside the database (pg_cron): a tick that
-- is not needed is not sent. Over all owners, so it runs as the role that sees all rows.
create function has_due_work() returns boolean
language sql stable security definer set search_path = docmill, pg_temp as $$
  select exists (select from processing_jobs where status = 'queued' and run_at <= now())
      or exists (select from processing_jobs where status = 'running' and lease_until < now())
$$;

reset role;
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant docmill_worker to %I', current_user);
  end if;
  grant create on schema docmill to docmill_worker;
  alter function docmill.has_due_work() owner to docmill_worker;
  revoke execute on function docmill.has_due_work() from public;
  execute format('grant execute on function docmill.has_due_work() to %I', current_user);
  execute format('grant usage on schema docmill to %I', current_user);
  revoke create on schema docmill from docmill_worker;
end $$;
set local role docmill_owner;
