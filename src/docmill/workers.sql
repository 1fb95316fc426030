-- Who works. A worker that ends takes its row away; one that was killed leaves it, and the age of
-- seen_at tells.

-- seen --
-- `is_direct`: its session tells whether it lives. Twice the same one, and the one that greeted it: a
-- pooler greets by itself, and may keep a session for long after its worker's death.
insert into workers as w (id, slots, session_pid, session_start)
select %(id)s, %(slots)s, s.pid, s.backend_start from pg_stat_get_activity(pg_backend_pid()) s
on conflict (id) do update
set seen_at = now(),
    is_direct = excluded.session_pid = %(greeted_by)s
      and (w.session_pid, w.session_start) = (excluded.session_pid, excluded.session_start),
    session_pid = excluded.session_pid, session_start = excluded.session_start
returning draining;

-- idle --
-- Said before waiting, taken back after: an upload sends a wake-up only if somebody is idle.
update workers set idle = %(idle)s, seen_at = now() where id = %(id)s and idle <> %(idle)s;

-- gone --
delete from workers where id = %(id)s;

-- notice_dead --
-- Workers whose session ended and who did not come back in another one: their leases end now, and
-- the reaper takes their jobs and deliveries. A worker that is slow keeps its session; one whose session was cut
-- beats from a new one within a beat; after a restart of the server, no old session says anything.
with dead as (
  delete from workers w
  where w.is_direct and w.seen_at < now() - make_interval(secs => %(silence)s)
    and w.session_start > pg_postmaster_start_time()
    and not exists (select from pg_stat_get_activity(w.session_pid) s
                    where s.backend_start = w.session_start)
  returning w.id
), held as (
  select j.id from processing_jobs j
  where j.status = 'running' and j.worker in (select id from dead)
  order by j.id for no key update skip locked
), ended as (
  update processing_jobs j set lease_until = now() - interval '1 microsecond'
  from held where held.id = j.id
), sent as (
  select d.id from webhook_deliveries d
  where d.status = 'sending' and d.worker in (select id from dead)
  order by d.id for no key update skip locked
), let_go as (
  update webhook_deliveries d set lease_until = now() - interval '1 microsecond'
  from sent where sent.id = d.id
)
select id from dead;

-- live --
-- Workers whose last sign of life is younger than a lease (at least 10 seconds), and that claim.
select count(*) as live, extract(epoch from now() - max(seen_at))::float8 as seconds_since
from workers
where seen_at > now() - make_interval(secs => greatest(10, %(lease)s)) and not draining;

-- note_tick --
-- A tick has come: somebody works here, though no worker lives on.
insert into last_tick (at) values (now()) on conflict (only_row) do update set at = now();

-- last_tick --
select extract(epoch from now() - at)::float8 as seconds from last_tick;
