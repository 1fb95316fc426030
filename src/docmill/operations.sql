-- What operators see and do. The functions see all owners' rows (migrations/0010); here they are only
-- called.

-- read_stages --
select * from operator_stages();

-- read_workers --
select * from operator_workers(%(lease)s);

-- read_failures --
select * from operator_failures();

-- read_owners --
select * from operator_owners();

-- read_samples --
select * from operator_samples(%(minutes)s);

-- read_log --
select * from operator_log(%(most)s);

-- read_services --
-- Services outside that are left alone for a while.
select name, failures, paused_until, error ->> 'code' as code
from embedding_services where paused_until > now() order by name;

-- read_limit --
select paused, max_running from operator_stages() where stage = %(stage)s;

-- limit_stage --
select operator_limit(%(operator)s, %(stage)s, %(paused)s, %(max_running)s);

-- drain_worker --
select operator_drain(%(operator)s, %(worker)s, %(drain)s) as done;

-- moment --
select coalesce(%(before)s::timestamptz, now()) as before;

-- begin_retry --
select id, owner_id
from operator_failed(%(operator)s, %(code)s, %(stage)s, %(before)s, %(most)s);

