-- Delivering what is told to webhooks: claim, note, reap. Time is the database's now().
-- Lock order: that of migrations/0011_webhooks.sql.

-- look_for_waiting --
-- Asked before each claim, and nearly always enough: most owners have no webhook, and every document
-- that ends leads to a claim, which takes twenty times as long to plan. In the order of the index of
-- what waits, for else the table might be read through to the first.
select webhook_id from webhook_deliveries where status = 'waiting' order by webhook_id limit 1;

-- claim_deliveries --
-- As many due deliveries as there are senders free. A webhook has a few under way at once, one that
-- fails has one, and one that is paused or disabled has none: a slow one does not hold up others.
-- Whose owner has least under way comes first, and none takes all senders. Counted without a lock, so
-- two workers that claim at the same moment may be a few above that; what is sent is locked. The
-- secrets come along, newest first.
with recursive told as (
  (select webhook_id from webhook_deliveries where status = 'waiting' order by webhook_id limit 1)
  union all
  select (select d.webhook_id from webhook_deliveries d
          where d.status = 'waiting' and d.webhook_id > t.webhook_id order by d.webhook_id limit 1)
  from told t where t.webhook_id is not null
), under_way as (
  select webhook_id, owner_id, count(*) as n from webhook_deliveries
  where status = 'sending' group by webhook_id, owner_id
), candidates as materialized (
  select c.id, c.run_at,
         coalesce((select sum(u.n) from under_way u where u.owner_id = w.owner_id), 0)
           + row_number() over (partition by w.owner_id order by c.run_at, c.id) as turn
  from told t
  join webhooks w on w.id = t.webhook_id
  left join under_way u on u.webhook_id = w.id
  cross join lateral (
    select id, run_at from webhook_deliveries
    where status = 'waiting' and webhook_id = w.id and run_at <= now()
    order by run_at, id
    limit greatest(0, case when w.failures > 0 then 1 else %(at_once)s end - coalesce(u.n, 0))) c
  where w.disabled_at is null and (w.paused_until is null or w.paused_until <= now())
), due as (
  select l.id from (select id from candidates where turn <= %(per_owner)s
                    order by turn, run_at, id) c
  cross join lateral (
    -- That it still waits, in words that leave the planner no way to it but by the id.
    select d.id from webhook_deliveries d
    where d.id = c.id and d.lease_token is null and d.finished_at is null
    for no key update skip locked) l
  limit %(senders)s
), taken as (
  update webhook_deliveries d
  set status = 'sending', attempt = d.attempt + 1, lease_token = gen_random_uuid(),
      lease_until = now() + make_interval(secs => %(lease)s), worker = %(worker)s
  from due where d.id = due.id
  returning d.*
), noted as (
  insert into webhook_attempts (owner_id, delivery_id, attempt, worker)
  select owner_id, id, attempt, worker from taken
)
select t.id, t.webhook_id, t.attempt, t.released, t.lease_token, t.body, w.url,
       extract(epoch from now())::bigint as at,
       array(select s.secret from webhook_secrets s
             where s.webhook_id = w.id and (s.expires_at is null or s.expires_at > now())
             order by s.created_at desc limit 3) as secrets
from taken t join webhooks w on w.id = t.webhook_id;

-- lock_webhook --
-- First in the transaction that notes how a delivery went, for the lock order.
select from webhooks where id = %(webhook_id)s for no key update;

-- note_delivery --
-- The fence: no row where the lease went to another, or the webhook or document is deleted.
update webhook_deliveries
set status = %(status)s, lease_token = null, lease_until = null,
    released = released + %(released)s,
    run_at = case when %(status)s = 'waiting' then now() + make_interval(secs => %(wait)s)
                  else run_at end,
    finished_at = case when %(status)s <> 'waiting' then now() end
where id = %(id)s and lease_token = %(token)s and attempt = %(attempt)s and status = 'sending'
returning id;

-- end_attempt --
update webhook_attempts set ended_at = now(), status_code = %(status_code)s, error = %(error)s
where delivery_id = %(id)s and attempt = %(attempt)s and ended_at is null;

-- webhook_is_well --
update webhooks set failures = 0, failing_since = null, paused_until = null
where id = %(webhook_id)s and failures > 0;

-- webhook_fails --
-- It is left alone for longer after each failure, or as long as it asks for. It is disabled where it
-- says that it is gone, or at the end of an event's tries if nothing got through for days.
update webhooks
set failures = failures + 1, failing_since = coalesce(failing_since, now()),
    paused_until = now() + make_interval(secs => greatest(%(retry_after)s::float8,
      least(%(cap)s::float8, 2 ^ least(failures, 30)) * (0.5 + random() / 2))),
    disabled_reason = coalesce(disabled_reason, d.reason),
    disabled_at = coalesce(disabled_at, case when d.reason is not null then now() end)
from (select case when %(gone)s then 'gone'
                  when %(gave_up)s and failing_since < now() - make_interval(secs => %(lasting)s)
                    then 'failing' end as reason
      from webhooks where id = %(webhook_id)s) d
where id = %(webhook_id)s
returning disabled_at is not null as disabled;

-- reap_deliveries --
-- Let others send what lost workers were about to. Whether it arrived, nobody knows.
with lost as (
  select id from webhook_deliveries
  where status = 'sending' and lease_until < now()
  order by id limit 100
  for no key update skip locked
), freed as (
  update webhook_deliveries d
  set status = 'waiting', run_at = now(), lease_token = null, lease_until = null
  from lost where d.id = lost.id
  returning d.id, d.attempt
)
update webhook_attempts a
set ended_at = now(), error = 'The worker was lost; it may have arrived.'
from freed where a.delivery_id = freed.id and a.attempt = freed.attempt;

-- count_due --
-- How much could be sent now, for a tick's answer.
select count(*) as due from webhook_deliveries d join webhooks w on w.id = d.webhook_id
where d.status = 'waiting' and d.run_at <= now() and w.disabled_at is null
  and (w.paused_until is null or w.paused_until <= now());
