-- What /metrics asks the database, in one moment. The functions see all owners' rows
-- (migrations/0012); here they are only called.

-- read_queue --
select * from metrics_queue();

-- read_deliveries --
select * from metrics_deliveries();

-- read_tallies --
-- What has ended: a few hundred rows, and one for each attempt of the last minute.
select * from metrics_tallies();

-- read_bounds --
select tally_bounds() as bounds;

-- read_workers --
select count(*) filter (where is_seen and not draining) as live,
       count(*) filter (where is_seen and draining) as draining,
       count(*) filter (where not is_seen) as silent
from (select seen_at > now() - make_interval(secs => greatest(10, %(lease)s)) as is_seen, draining
      from workers) w;

-- read_service --
select exists (select from embedding_services where paused_until > now()) as paused;
