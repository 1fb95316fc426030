-- What of an owner's documents is new, for those who listen.

-- read_states --
-- The newest, all that are in work, and those that the listeners know already: so the end of every
-- document is seen, and that of one which is gone as well. `kept` are those to look after further.
with newest as (
  select id from documents order by created_at desc, id desc limit %(newest)s
), in_work as (
  select id from documents where status = 'queued' or status = 'processing'
  order by created_at desc, id desc limit %(in_work)s
), looked_at as (
  select id from newest union select id from in_work
)
select d.id, d.version, d.status, d.changed_at, exists (select from looked_at l where l.id = d.id) as kept
from documents d
where d.id in (select id from looked_at) or d.id = any(%(known)s)
order by d.changed_at, d.id;
