-- An owner's webhooks, their log, and what may be asked of them. Row-level security leaves the asking
-- owner's rows only. Secrets can be written and not read.

-- list_webhooks --
-- In the order in which they were made; one of them where an id is given. There are few.
select w.id, w.url, w.description, w.events, w.disabled_reason, w.disabled_at, w.failing_since,
       w.paused_until, w.created_at,
       array(select s.expires_at from webhook_secrets s
             where s.webhook_id = w.id and s.expires_at > now() order by s.expires_at) as former_secrets
from webhooks w
where %(id)s::uuid is null or w.id = %(id)s
order by w.created_at, w.id;

-- add_webhook --
-- No row where there are as many as there may be.
insert into webhooks (url, description, events)
select %(url)s, %(description)s, %(events)s
where (select count(*) from webhooks) < %(most)s
returning id;

-- add_secret --
insert into webhook_secrets (webhook_id, secret) values (%(id)s, %(secret)s);

-- end_secrets --
-- What signs now goes on signing for a while, beside the secret that comes in the same commit.
update webhook_secrets set expires_at = now() + make_interval(secs => %(overlap)s)
where webhook_id = %(id)s and expires_at is null;

-- lock_webhook --
select disabled_reason from webhooks where id = %(id)s for no key update;

-- change_webhook --
-- What is null stays. Enabled again, or led elsewhere, it begins as if it had never failed.
update webhooks
set url = coalesce(%(url)s, url), description = coalesce(%(description)s, description),
    events = coalesce(%(events)s, events),
    disabled_reason = case %(enabled)s::boolean
      when true then null when false then coalesce(disabled_reason, 'asked') else disabled_reason end,
    disabled_at = case %(enabled)s::boolean
      when true then null when false then coalesce(disabled_at, now()) else disabled_at end
where id = %(id)s;

-- forget_failures --
-- It is tried again at once.
update webhooks set failures = 0, failing_since = null, paused_until = null where id = %(id)s;

-- hurry_deliveries --
-- What waited for its next try is due now. What somebody holds this moment is skipped: it is under way.
update webhook_deliveries set run_at = now()
where id in (
  select id from webhook_deliveries
  where webhook_id = %(id)s and status = 'waiting' and run_at > now()
  for no key update skip locked);

-- delete_webhook --
delete from webhooks where id = %(id)s returning id;

-- add_test --
insert into webhook_deliveries (webhook_id, event, body)
select w.id, e.type, row_to_json(e)::text
from webhooks w
cross join lateral (select w.id as webhook_id, w.description) as data
cross join lateral (
  select %(event)s::text as type,
         to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as timestamp, data) as e
where w.id = %(id)s
returning id;

-- replay_delivery --
-- Sent again under the same id, with all its tries anew. One that is under way is left to go on.
update webhook_deliveries
set status = 'waiting', run_at = now(), released = attempt, finished_at = null
where id = %(delivery_id)s and webhook_id = %(id)s and status <> 'sending';

-- list_deliveries --
-- The log, newest first, behind a place in it; one delivery where an id is given.
select d.id, d.event, d.document_id, d.status, d.run_at, d.created_at, d.finished_at, d.attempt,
       coalesce((
         select jsonb_agg(jsonb_build_object(
           'attempt', a.attempt, 'started_at', a.started_at, 'ended_at', a.ended_at,
           'status_code', a.status_code, 'error', a.error) order by a.attempt)
         from webhook_attempts a
         where a.delivery_id = d.id and a.attempt > d.attempt - 20), '[]') as attempts
from webhook_deliveries d
where d.webhook_id = %(id)s
  and (%(delivery_id)s::uuid is null or d.id = %(delivery_id)s)
  and (%(place_id)s::uuid is null
       or (d.created_at, d.id) < (%(place_at)s::timestamptz, %(place_id)s::uuid))
order by d.created_at desc, d.id desc
limit %(limit)s;
