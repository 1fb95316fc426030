-- What goes by itself: rows by their age, and what is left of generations and attempts that others
-- have followed. Little at a time, each batch a commit of its own. Nothing here waits for a lock or makes
-- a claim wait: what somebody holds is left for the next time.

-- end_expired_uploads --
-- Resumable uploads whose time is over; their bytes become prey of the statements below.
with over as (
  select id, file_id from uploads where expires_at < now() order by expires_at limit 100
  for update skip locked
), given_up as (
  update files set receiving_until = now() - interval '1 microsecond'
  where id in (select file_id from over) and receiving_until is not null
)
delete from uploads where id in (select id from over);

-- prune_parts --
-- In small batches: a file of gigabytes has thousands of parts. By ctid, as all that is pruned: the
-- rows are locked, and there is no join that could read the whole table.
delete from file_parts where ctid = any (array(
  select p.ctid
  from (select id from files where receiving_until < now() order by receiving_until limit 20) f
  cross join lateral (
    select ctid from file_parts where file_id = f.id limit 256 for update skip locked) p
  limit 256));

-- prune_files --
-- The rows themselves, once none of their parts is left.
delete from files f where ctid = any (array(
  select ctid from files where receiving_until < now() order by receiving_until limit 20
  for update skip locked))
and not exists (select from file_parts p where p.file_id = f.id);

-- prune_requests --
-- Answers are kept for a day; of requests that never ended nothing is worth keeping.
delete from idempotent_requests where ctid = any (array(
  select ctid from idempotent_requests where until < now() order by until limit 500
  for update skip locked));

-- prune_sessions --
-- Of browsers whose cookie is good no longer.
delete from browser_sessions where token_sha256 in (
  select token_sha256 from browser_sessions where expires_at < now() limit 100
  );

-- prune_paid --
-- Long enough for every retry; the vectors of documents that are there lie in `embeddings`.
delete from paid_embeddings where ctid = any (array(
  select ctid from paid_embeddings
  where created_at < now() - interval '2 days' order by created_at limit 1000
  for update skip locked));

-- prune_deliveries --
-- The log of what webhooks were told, and what has waited as long for one to be enabled again.
delete from webhook_deliveries where id in (
  select id from webhook_deliveries
  where created_at < now() - make_interval(days => %(webhook_log_days)s) and status <> 'sending'
  order by created_at limit 1000
  for update skip locked);

-- prune_secrets --
delete from webhook_secrets where expires_at < now() - interval '1 hour';

-- prune_workers --
-- Of workers that were killed, or whose machine was.
delete from workers where seen_at < now() - interval '1 day';

-- prune_operator_actions --
-- Who did what at /operator. Not locked, for who may lock may change; a tid scan goes in one order.
delete from operator_actions where ctid = any (array(
  select ctid from operator_actions
  where at < now() - make_interval(days => %(operator_log_days)s) order by at limit 500));

-- take_turn --
-- One worker sweeps at a time, and all together only every few seconds: what it looks for is days old.
select document_id, job_id from sweep where next_at <= now() for no key update skip locked;

-- hold_turn --
-- Goes first in every sweep: of two at once, each would leave what the other holds, and a job could lose
-- its last attempt without going itself. Who has taken the turn holds it already.
select from sweep for no key update;

-- give_turn --
update sweep
set document_id = %(document_id)s, job_id = %(job_id)s,
    next_at = now() + make_interval(secs => %(pause)s);

-- look_at_documents --
-- The next documents that were read more than once, and which of them have something left of a
-- generation that is neither the newest nor the one that serves: passages and pages, which nobody sees,
-- or jobs that ended long ago. Such generations lie below the one that serves, and between the two. Each
-- is asked for by range, so that nothing of what stays is read.
select d.id, bool_or(o.is_there) as has_leftovers
from (select id, generation, coalesce(serving, generation) as low from documents
      where generation > 1 and id > %(place)s order by id limit %(most)s) d
cross join lateral (values (0, d.low), (d.low, d.generation)) as r (above, below)
cross join lateral (
  select exists (select from chunks where document_id = d.id
                 and generation > r.above and generation < r.below)
      or exists (select from pages where document_id = d.id
                 and generation > r.above and generation < r.below)
      or exists (select from processing_jobs where document_id = d.id
                 and generation > r.above and generation < r.below
                 and finished_at < now() - make_interval(days => %(history_days)s)) as is_there
) o
group by d.id order by d.id;

-- hold_document --
-- Before anything of a document is dropped. Nobody can delete it meanwhile, which would delete the same
-- rows in another order; its work goes on. No row: somebody deletes it, and all of this with it.
select generation, coalesce(serving, generation) as low from documents
where id = %(document_id)s
for key share skip locked;

-- drop_old_chunks --
-- The vectors go with their passages.
delete from chunks where ctid = any (array(
  select ctid from chunks
  where document_id = %(document_id)s and generation > %(above)s and generation < %(below)s
  limit %(most)s for update skip locked));

-- drop_old_pages --
delete from pages where ctid = any (array(
  select ctid from pages
  where document_id = %(document_id)s and generation > %(above)s and generation < %(below)s
  limit %(most)s for update skip locked));

-- hold_old_jobs --
-- The jobs of such generations, once they ended long ago; with the attempts that go with them: all.
select id, attempt + 1 as before from processing_jobs
where document_id = %(document_id)s and generation > %(above)s and generation < %(below)s
  and finished_at < now() - make_interval(days => %(history_days)s)
order by id limit %(most)s for update skip locked;

-- look_at_jobs --
-- The next jobs that were tried more than once, and which of them have attempts of long ago that others
-- have followed. The last attempt stays as long as the job does: it says how the job ended.
select j.id, j.attempt as before, exists (
         select from job_attempts a where a.job_id = j.id and a.attempt < j.attempt
         and a.ended_at < now() - make_interval(days => %(history_days)s)) as has_leftovers
from (select id, attempt from processing_jobs
      where attempt > 1 and id > %(place)s order by id limit %(most)s) j
order by j.id;

-- drop_attempts --
-- The one statement that deletes attempts while their document stays: of each job those before a number,
-- if they ended long ago.
delete from job_attempts where ctid = any (array(
  select a.ctid
  from unnest(%(jobs)s::bigint[], %(before)s::int[]) as j (id, before)
  cross join lateral (
    select ctid from job_attempts
    where job_id = j.id and attempt < j.before
      and ended_at < now() - make_interval(days => %(history_days)s)
    order by attempt limit %(most)s for update skip locked) a
  limit %(most)s));

-- drop_jobs --
-- Jobs that are held, and of which no attempt is left.
delete from processing_jobs j
where id = any (%(jobs)s::bigint[]) and not exists (select from job_attempts where job_id = j.id);

-- count --
-- What would go now, for a person who asks before it does. The conditions are those above.
with stale as (
  select d.id, r.above, r.below
  from documents d
  cross join lateral (values (0, coalesce(d.serving, d.generation)),
                             (coalesce(d.serving, d.generation), d.generation)) as r (above, below)
  where d.generation > 1
), old_jobs as (
  select j.id from stale s join processing_jobs j on j.document_id = s.id
    and j.generation > s.above and j.generation < s.below
    and j.finished_at < now() - make_interval(days => %(history_days)s)
)
select
  (select count(*) from uploads where expires_at < now()) as uploads,
  (select count(*) from file_parts p join files f on f.id = p.file_id
   where f.receiving_until < now() or exists (
     select from uploads u where u.file_id = f.id and u.expires_at < now())) as file_parts,
  (select count(*) from files f where receiving_until < now() or exists (
     select from uploads u where u.file_id = f.id and u.expires_at < now())) as files,
  (select count(*) from idempotent_requests where until < now()) as idempotent_requests,
  (select count(*) from browser_sessions where expires_at < now()) as browser_sessions,
  (select count(*) from paid_embeddings
   where created_at < now() - interval '2 days') as paid_embeddings,
  (select count(*) from webhook_deliveries where status <> 'sending'
   and created_at < now() - make_interval(days => %(webhook_log_days)s)) as webhook_deliveries,
  (select count(*) from webhook_secrets
   where expires_at < now() - interval '1 hour') as webhook_secrets,
  (select count(*) from workers where seen_at < now() - interval '1 day') as workers,
  (select count(*) from operator_actions
   where at < now() - make_interval(days => %(operator_log_days)s)) as operator_actions,
  (select count(*) from stale s join chunks c on c.document_id = s.id
   and c.generation > s.above and c.generation < s.below) as chunks,
  (select count(*) from stale s join pages p on p.document_id = s.id
   and p.generation > s.above and p.generation < s.below) as pages,
  (select count(*) from job_attempts a join processing_jobs j on j.id = a.job_id
   where a.ended_at < now() - make_interval(days => %(history_days)s)
     and (a.attempt < j.attempt or j.id in (select id from old_jobs))) as job_attempts,
  (select count(*) from old_jobs) as processing_jobs;
