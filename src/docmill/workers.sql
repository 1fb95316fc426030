-- Who works. A worker that ends takes its row away; one that was killed leaves it, and the age of
-- seen_at tells.

-- seen --
insert into workers (id, slots) values (%(id)s, %(slots)s)
on conflict (id) do update set seen_at = now();

-- idle --
-- Said before waiting, taken back after: an upload sends a wake-up only if somebody is idle.
update workers set idle = %(idle)s, seen_at = now() where id = %(id)s and idle <> %(idle)s;

-- gone --
delete from workers where id = %(id)s;

-- prune --
delete from workers where seen_at < now() - interval '1 day';

-- live --
-- Workers whose last sign of life is younger than a lease (at least 10 seconds).
select count(*) as live, extract(epoch from now() - max(seen_at))::float8 as seconds_since
from workers
where seen_at > now() - make_interval(secs => greatest(10, %(lease)s));
