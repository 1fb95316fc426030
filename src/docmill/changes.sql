-- What of an owner's documents is new, for those who listen.

-- read_states --
-- The newest, all that are in work, and those that the listeners know already: so the end of every
-- document is seen, and that of one which is gone as well. `kept` are those to look after further.
--
-- Row-level security's condition on owner_id tempts the planner to read all that an owner has. So the
-- newest in work are taken state by state, in the order of an index, and documents are probed for by id:
-- `limit 1` in a lateral subquery can't be turned into a join.
with newest as (
  select id from documents order by created_at desc, id desc limit %(newest)s
), in_work as (
  select d.id
  from unnest(array['queued', 'processing']) as s (status)
  cross join lateral (
    select id, created_at from documents where status = s.status
    order by created_at desc, id desc limit %(in_work)s) d
  order by d.created_at desc, d.id desc limit %(in_work)s
), asked as (
  select id, bool_or(kept) as kept
  from (
    select id, true as kept from newest
    union all select id, true from in_work
    union all select unnest(%(known)s::uuid[]), false
  ) named
  group by id
)
select d.id, d.version, d.status, d.changed_at, asked.kept
from asked
cross join lateral (
  select id, version, status, changed_at from documents where id = asked.id limit 1) d
order by d.changed_at, d.id;
