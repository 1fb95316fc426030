-- The queue. Time is the database's now(), never a worker's clock.
-- Lock order: processing_jobs by id, then documents by id, then everything else.

-- keep_to_limits --
-- Goes before a claim where a stage is limited: claims then follow each other, so that two of them
-- can't both see the last free place. Held until the claim is committed.
select pg_advisory_xact_lock(hashtext('docmill stage limits'))
where exists (select from stage_limits where max_running is not null);

-- claim_jobs --
-- Take as many due jobs as there are free slots. Owners take turns: whoever has least in work comes
-- first, and among those the next one behind whom this worker served last (`after`); so one owner's
-- ten thousand files do not make the next owner's one file wait. Within an owner by priority, then by
-- time, so retries go behind fresh work. The candidates are three times what is taken and more, because
-- other workers lock some of them at the same moment.
--
-- Files that nobody has tried yet go in groups: by their bytes, up to `%(group)s` of them fill one slot,
-- and the last job is taken although it may need more than is left. What was tried is tried again
-- alone, so that a file that kills its worker takes no others with it. What has lost two workers is
-- suspect: a worker has one such job at a time, or a file that kills its worker would take with it, on
-- each try, the same harmless one that works beside it and is due again at the same moment.
--
-- Where all that is due can be seen, a claim takes no more of it than the share of its free slots
-- among them and all slots of other workers: they are woken by the same burst, or done in a moment,
-- and would find nothing. A quarter of a group is taken in any case, for commits are to be shared.
-- What is due beyond the candidates is enough for everybody.
--
-- How much of the queue is read does not depend on how long it is. It is walked from line to line (the
-- jobs of one owner, stage and priority, in an index by time) until enough owners have one whose first
-- job is due, and of those lines only due jobs are read. Nor does it depend on the planner knowing how
-- long the queue is, which it does not after a burst: each step is a probe whose `limit` keeps it from
-- becoming a join, and the lock goes by the primary key, for `status = c.status` is true of the same
-- rows but fits no partial index.
--
-- The attempt is counted here and not at its end, so that a job that kills its worker runs out of
-- attempts. The document is told in the same commit: it is being processed from the moment somebody
-- holds its job.
with recursive open as materialized (
  select stage, room from open_stages(%(service)s) where room is null or room > 0
), walk as (
  -- Behind all lines of `after` it begins; behind the last owner it goes round to the first.
  select %(after)s::uuid as owner_id, 'zzz'::text as stage, 0::smallint as priority,
         false as is_due, false as owner_has_due, 0 as owners_with_due, 0 as place, false as round
  union all
  select next.owner_id, next.stage, next.priority, line.is_due,
         line.is_due or line.same_owner and w.owner_has_due,
         w.owners_with_due + (line.is_due and not (line.same_owner and w.owner_has_due))::int,
         w.place + 1, next.round
  from walk w
  cross join lateral (
    select owner_id, stage, priority, run_at, round
    from (
      (select owner_id, stage, priority, run_at, w.round from processing_jobs
       where status = 'queued'
         and (owner_id, stage, priority) > (w.owner_id, w.stage, w.priority)
       order by owner_id, stage, priority, run_at limit 1)
      union all
      (select owner_id, stage, priority, run_at, true from processing_jobs
       where status = 'queued' and not w.round
       order by owner_id, stage, priority, run_at limit 1)
    ) either
    order by round limit 1) next
  cross join lateral (
    select next.owner_id = w.owner_id as same_owner,
           next.run_at <= now() and exists (select from open where stage = next.stage) as is_due
  ) line
  where (not next.round or next.owner_id <= %(after)s)
    and (w.owners_with_due < %(slots)s + 30 or line.same_owner)
), lines as materialized (
  select owner_id, stage, priority, min(place) over (partition by owner_id) as place
  from walk where is_due
), reach as materialized (
  -- How much of a line is looked at.
  select %(slots)s::int
           + (3 * %(slots)s::int * %(group)s::int + 30) / greatest(1, count(distinct owner_id)) as jobs
  from lines
), in_work as materialized (
  select owner_id, count(*) as jobs,
         bool_or(worker = %(worker)s and attempt - released > 2 and error ->> 'code' = 'LEASE_EXPIRED')
           as suspect
  from processing_jobs where status = 'running' group by owner_id
), candidates as materialized (
  select c.id, c.status, c.priority, c.run_at, c.weight, c.suspect, l.stage, o.room, l.place,
         coalesce((select jobs from in_work where owner_id = l.owner_id), 0) + row_number() over (
           partition by l.owner_id order by c.priority, c.run_at, c.id) as turn
  from lines l
  join open o on o.stage = l.stage
  cross join lateral (
    select j.id, j.status, j.priority, j.run_at,
           j.attempt - j.released > 1 and j.error ->> 'code' = 'LEASE_EXPIRED' as suspect,
           least(%(group)s::int, (
             select 1 + f.size / %(weighed_bytes)s::int
             from documents d
             cross join lateral (select size from files where id = d.file_id limit 1) f
             where d.id = j.document_id
               and j.stage = 'parse' and j.attempt = j.released and j.span is null))::int as weight
    from processing_jobs j
    where j.status = 'queued' and j.owner_id = l.owner_id
      and j.stage = l.stage and j.priority = l.priority and j.run_at <= now()
    order by j.run_at, j.id
    limit (select jobs from reach)) c
), in_turn as materialized (
  select id, status, room, turn, place, weight, suspect,
         row_number() over (partition by stage order by turn, place) as nth_of_stage
  from candidates
), fitting as materialized (
  select id, status, turn, place, weight, coalesce(sum(weight) over earlier, 0) as before,
         not suspect or count(*) filter (where suspect) over earlier = 0
                        and not exists (select from in_work where in_work.suspect) as may_be_taken
  from in_turn where room is null or nth_of_stage <= room
  window earlier as (order by turn, place, id rows between unbounded preceding and 1 preceding)
), others as materialized (
  select coalesce(sum(slots), 0) as slots from workers
  where id <> %(worker)s and not draining
    and seen_at > now() - make_interval(secs => greatest(10, %(lease)s))
), share as materialized (
  select case
           when exists (select from candidates group by place, stage, priority
                        having count(*) >= (select jobs from reach))
           then %(slots)s::int * %(group)s::int
           else least(%(slots)s::int * %(group)s::int, greatest(1, %(group)s::int / 4, ceil(
             sum(weight) * %(slots)s::int / (%(slots)s::int + (select slots from others)))))
         end as weight
  from fitting
), due as (
  select j.id, c.place, c.weight
  from (select * from fitting where may_be_taken order by turn, place, id) c
  cross join lateral (
    select id from processing_jobs
    where id = c.id and status = c.status and run_at <= now()
    for no key update skip locked) j
  limit (select count(*) from fitting where before < (select weight from share))
), taken as (
  update processing_jobs j
  set status = 'running', attempt = j.attempt + 1, lease_token = gen_random_uuid(),
      lease_until = now() + make_interval(secs => %(lease)s), worker = %(worker)s,
      started_at = coalesce(j.started_at, now())
  from due where j.id = due.id
  returning j.*, due.place, due.weight
), noted as (
  insert into job_attempts (owner_id, job_id, attempt, worker)
  select owner_id, id, attempt, worker from taken
), locked as (
  select id from documents where id in (select document_id from taken)
  order by id for no key update
), begun as (
  update documents d
  set status = 'processing', stage = t.stage, started_at = coalesce(d.started_at, now()),
      changed_at = now(), version = d.version + 1
  from (select distinct on (document_id) document_id, stage, attempt from taken
        order by document_id, attempt desc) t
  join locked on locked.id = t.document_id
  where d.id = t.document_id and (d.status = 'queued' or t.attempt > 1)
)
select t.id, t.owner_id, t.document_id, t.generation, t.stage, t.part, t.priority, t.span, t.attempt,
       t.released, t.max_attempts, t.lease_token, t.done, t.total, t.checkpoint,
       t.weight, d.filename, d.file_id, d.traceparent, f.size as file_size,
       extract(epoch from now() - t.run_at)::float8 as seconds_waited
from taken t
join documents d on d.id = t.document_id
join files f on f.id = d.file_id
order by t.place, t.priority, t.run_at, t.id;

-- beat_jobs --
-- Renew the leases of the jobs that a worker holds. A row that does not come back is lost (taken
-- over, cancelled or deleted): its work must stop. A lease that ran out but that nobody took is
-- renewed: slow is not dead, and work that still beats is not thrown away.
with mine as (
  select j.id
  from processing_jobs j
  join unnest(%(ids)s::bigint[], %(tokens)s::uuid[]) as held (id, token)
    on held.id = j.id and held.token = j.lease_token
  order by j.id
  for no key update of j
)
update processing_jobs j set lease_until = now() + make_interval(secs => %(lease)s)
from mine where j.id = mine.id
returning j.id;

-- checkpoint_job --
-- The fence of a commit in the middle of a job: it goes first, and without a row the transaction
-- is rolled back, so a worker whose lease went to another writes nothing.
update processing_jobs
set done = %(done)s, total = coalesce(%(total)s, total), span = coalesce(%(span)s, span),
    checkpoint = coalesce(%(checkpoint)s, checkpoint), waiting_since = null,
    lease_until = now() + make_interval(secs => %(lease)s)
where id = %(id)s and lease_token = %(token)s and attempt = %(attempt)s and status = 'running'
returning id;

-- finish_jobs --
-- The fence of the last commit of jobs, which also holds their last output and the jobs that follow.
-- What it does not return is no longer this worker's, and nothing may be written of it. It ends the
-- attempts as well, which every job does: one statement less. Each row is looked for by its key, for a
-- planner that knows nothing of the tables would read all that run. So neither `status` nor `ended_at`
-- is asked for, which the indexes of what runs are by: only what runs has a token, and only what has
-- not ended has no outcome.
with held as materialized (
  select h.*
  from (select * from unnest(%(ids)s::bigint[], %(tokens)s::uuid[], %(attempts)s::int[],
                             %(done)s::int[]) as given (id, token, attempt, done) order by id) h
  cross join lateral (
    select from processing_jobs
    where id = h.id and lease_token = h.token and attempt = h.attempt
    limit 1 for no key update) j
), finished as (
  update processing_jobs j
  set status = 'succeeded', done = h.done, total = h.done, error = null, finished_at = now(),
      lease_token = null, lease_until = null
  from held h where j.id = h.id
  returning j.id, j.attempt
), noted as (
  update job_attempts a set ended_at = clock_timestamp(), outcome = 'succeeded'
  from finished f
  where a.job_id = f.id and a.attempt = f.attempt and a.outcome is null
)
select id from finished;

-- end_attempt --
-- Write how an attempt ended that did not succeed. An ended row is history; a trigger refuses to change it.
update job_attempts
set ended_at = clock_timestamp(), outcome = %(outcome)s, error = %(error)s
where job_id = %(id)s and attempt = %(attempt)s and ended_at is null;

-- enqueue_jobs --
-- Add the jobs that follow. A follow-up that is there already is left alone: that is what makes
-- enqueueing safe to repeat.
insert into processing_jobs
  (owner_id, document_id, generation, stage, part, span, total, priority, max_attempts)
select %(owner_id)s, %(document_id)s, %(generation)s, %(stage)s, p.part, p.span, p.total,
       %(priority)s, %(max_attempts)s
from jsonb_to_recordset(%(parts)s) as p (part int, span jsonb, total int)
order by p.part
on conflict (document_id, generation, stage, part) do nothing;

-- enqueue_taken_jobs --
-- Add the one job that follows in each document as already claimed by the worker that finished the one
-- before: a small document goes straight through, with a row and a commit per stage but no wait
-- between. Where their stage is limited or rests, they wait for their turn like any other.
with limited as (
  select exists (select from stage_limits
                 where stage = %(stage)s and (paused or max_running is not null)) as waits
), added as (
  insert into processing_jobs
    (owner_id, document_id, generation, stage, part, span, total, priority, max_attempts,
     status, attempt, lease_token, lease_until, worker, started_at)
  select n.owner_id, n.document_id, n.generation, %(stage)s, n.part, n.span, n.total,
         n.priority, n.max_attempts,
         case when waits then 'queued' else 'running' end,
         case when waits then 0 else 1 end,
         case when not waits then gen_random_uuid() end,
         case when not waits then now() + make_interval(secs => %(lease)s) end,
         case when not waits then %(worker)s end,
         case when not waits then now() end
  from jsonb_to_recordset(%(jobs)s) as n (
    owner_id uuid, document_id uuid, generation int, part int, span jsonb, total int,
    priority smallint, max_attempts int)
  cross join limited
  on conflict (document_id, generation, stage, part) do nothing
  returning *
), noted as (
  insert into job_attempts (owner_id, job_id, attempt, worker)
  select owner_id, id, attempt, worker from added where status = 'running'
)
select id, owner_id, document_id, generation, stage, part, priority, span, status, attempt, released,
       max_attempts, lease_token, done, total, checkpoint
from added;

-- list_unfinished --
-- The documents with jobs of a stage that have not succeeded. Asked while the documents' rows are
-- locked, so of two parts that finish at the same moment exactly one finds none.
select u.document_id
from unnest(%(document_ids)s::uuid[], %(generations)s::int[]) as u (document_id, generation)
cross join lateral (
  select from processing_jobs
  where document_id = u.document_id and generation = u.generation and stage = %(stage)s
    and status <> 'succeeded'
  limit 1) j;

-- retry_job --
-- A try failed and another may help: wait base * 2^(tries - 1), capped, half of it by chance, or
-- as long as the service asked for. Retries go behind fresh work by their later run_at.
with back as (
  update processing_jobs
  set status = 'queued', error = %(error)s, lease_token = null, lease_until = null,
      run_at = now() + make_interval(secs => greatest(
        coalesce(%(retry_after)s::float8, 0),
        least(%(cap)s::float8, %(base)s::float8 * 2 ^ (attempt - released - 1))
          * (0.5 + random() / 2)))
  where id = %(id)s and lease_token = %(token)s and attempt = %(attempt)s and status = 'running'
  returning id, document_id
), told as (
  update documents set version = version + 1, changed_at = now()
  where id in (select document_id from back)
)
select id from back;

-- units_done --
-- How far a job is: an attempt that failed but got on is worth another where one that did not is not.
select done from processing_jobs
where id = %(id)s and lease_token = %(token)s and attempt = %(attempt)s;

-- fail_job --
-- The end of a job that can't succeed. With :expired only if its lease has run out, for the reaper.
update processing_jobs
set status = 'failed', error = %(error)s, finished_at = now(),
    lease_token = null, lease_until = null
where id = %(id)s and lease_token = %(token)s and attempt = %(attempt)s and status = 'running'
  and (not %(expired)s or lease_until < now())
returning id;

-- fail_document --
-- The document of a job that failed for good, in the same commit. The job's own row says which
-- generation failed; one that was served before goes on being served.
update documents
set status = 'failed', stage = null, error = %(error)s, version = version + 1, changed_at = now()
where id = %(document_id)s and generation = %(generation)s and status in ('queued', 'processing')
returning id;

-- release_job --
-- Give a job back on SIGTERM or at the end of a tick's budget. It costs no attempt.
with back as (
  update processing_jobs
  set status = 'queued', run_at = now(), released = released + 1,
      lease_token = null, lease_until = null
  where id = %(id)s and lease_token = %(token)s and attempt = %(attempt)s and status = 'running'
  returning id, document_id
), told as (
  update documents set version = version + 1, changed_at = now()
  where id in (select document_id from back)
)
select id from back;

-- postpone_job --
-- Something outside failed, not the document: the attempt does not count. The job waits half as long
-- again as it has waited already, which grows as fast as doubling does, and not before the service's
-- pause ends. No row: the claim is lost, or the job has waited as long as anybody should.
with back as (
  update processing_jobs j
  set status = 'queued', error = %(error)s, released = released + 1,
      lease_token = null, lease_until = null, waiting_since = coalesce(j.waiting_since, now()),
      run_at = greatest(
        (select s.paused_until from embedding_services s where s.name = %(service)s),
        now() + make_interval(secs => (0.5 + random() / 2) * least(%(cap)s::float8, greatest(
          %(base)s::float8, extract(epoch from now() - coalesce(j.waiting_since, now())) / 2))))
  where id = %(id)s and lease_token = %(token)s and attempt = %(attempt)s and status = 'running'
    and coalesce(j.waiting_since, now()) > now() - make_interval(secs => %(patience)s)
  returning id, document_id
), told as (
  update documents set version = version + 1, changed_at = now()
  where id in (select document_id from back)
)
select id from back;

-- lock_jobs --
-- Lock a document's jobs in the one order, before anything that ends or begins several of them. Asked
-- until it says the same twice: while it waited for one job, that job's worker may have added the
-- next. Ended jobs too, so that who cancels, retries, reprocesses or deletes waits for the others.
select id from processing_jobs
where document_id = %(document_id)s
order by id
for no key update;

-- revoke_jobs --
-- End every live job of a document: those that wait never start, those that run lose their lease,
-- which the fence makes final and the next beat tells their workers.
with revoked as (
  update processing_jobs
  set status = 'cancelled', finished_at = now(), lease_token = null, lease_until = null
  where document_id = %(document_id)s and status in ('queued', 'running')
  returning id
)
update job_attempts a set ended_at = clock_timestamp(), outcome = 'cancelled'
from revoked where a.job_id = revoked.id and a.ended_at is null;

-- reap_jobs --
-- Put the jobs of lost workers back in line. Every worker does this in its own loop, and a tick
-- does it first: nobody has to set anything up for rescue to happen.
with dead as (
  select id from processing_jobs
  where status = 'running' and lease_until < now() and attempt - released < max_attempts
  order by id
  limit 100
  for no key update skip locked
), freed as (
  update processing_jobs j
  set status = 'queued', error = %(error)s, lease_token = null, lease_until = null,
      run_at = now() + make_interval(secs =>
        least(%(cap)s::float8, %(base)s::float8 * 2 ^ (j.attempt - j.released - 1))
          * (0.5 + random() / 2))
  from dead where j.id = dead.id
  returning j.id, j.attempt, j.document_id, j.worker
), ended as (
  update job_attempts a
  set ended_at = clock_timestamp(), outcome = 'lease_expired', error = %(error)s
  from freed where a.job_id = freed.id and a.attempt = freed.attempt
), locked as (
  select id from documents where id in (select document_id from freed)
  order by id for no key update
), told as (
  update documents d set version = d.version + 1, changed_at = now()
  from locked where d.id = locked.id
)
select id, document_id, worker from freed;

-- list_jobs_lost_for_good --
-- Jobs whose worker was lost on the last attempt: each is failed in a transaction of its own,
-- because that ends the document and locks its other jobs.
select j.id, j.owner_id, j.document_id, j.generation, j.stage, j.part, j.priority, j.span, j.attempt,
       j.released, j.max_attempts, j.lease_token, j.done, j.total, j.checkpoint,
       1 as weight, d.filename, d.file_id, d.traceparent, f.size as file_size,
       0::float8 as seconds_waited
from processing_jobs j
join documents d on d.id = j.document_id
join files f on f.id = d.file_id
where j.status = 'running' and j.lease_until < now() and j.attempt - j.released >= j.max_attempts
order by j.lease_until
limit 100;

-- requeue_ended_jobs --
-- A document is retried: what failed or was cancelled waits again, with all its attempts before
-- it. What succeeded stays done, so the work goes on where it stopped.
update processing_jobs
set status = 'queued', run_at = now(), released = attempt, error = null, finished_at = null,
    waiting_since = null
where document_id = %(document_id)s and generation = %(generation)s
  and status in ('failed', 'cancelled');

-- wake_workers --
-- A hint for idle workers. Nobody idle: no NOTIFY, whose lock would serialise busy committers.
select pg_notify('docmill_jobs', '')
where exists (select from workers where idle and seen_at > now() - interval '5 minutes');

-- count_due --
-- How much work could be claimed now, for a tick's answer. What rests or waits for a service that is
-- paused is not due: a caller who ticks as long as something is would never end.
select count(*) as due from processing_jobs
where status = 'queued' and run_at <= now()
  and stage in (select stage from open_stages(%(service)s));
