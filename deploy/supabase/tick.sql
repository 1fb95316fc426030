-- Ticks by pg_cron and pg_net: once, as `postgres`, in the SQL editor of a project that setup.sql has
-- run in and docmill has migrated. Asks while something is due, and every five minutes to tidy up and
-- to show that ticks come. The key can do nothing but tick (`docmill keys create --owner scheduler
-- --scope tick`), and lies in the vault because pg_net keeps headers as plain text.
create extension if not exists pg_cron;
create extension if not exists pg_net;

grant docmill_scheduler to postgres;

select vault.create_secret('https://docmill.example.com', 'docmill_url');
select vault.create_secret('dm_…', 'docmill_tick_key');

-- Seconds need pg_cron 1.5 or later; before that, '* * * * *' is as often as it gets.
select cron.schedule('docmill-tick', '30 seconds', $$
  select net.http_post(
    url := (select decrypted_secret from vault.decrypted_secrets where name = 'docmill_url')
           || '/internal/tick',
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'Authorization', 'Bearer ' ||
        (select decrypted_secret from vault.decrypted_secrets where name = 'docmill_tick_key')),
    body := '{"budget_ms": 20000}'::jsonb,
    timeout_milliseconds := 25000)
  where docmill.tick_is_due()
$$);

-- pg_cron writes a line for each run and keeps it; a week of them is enough.
select cron.schedule('docmill-tick-history', '17 3 * * *', $$
  delete from cron.job_run_details
  where end_time < now() - interval '7 days'
    and jobid in (select jobid from cron.job where jobname like 'docmill-%')
$$);
