-- The queue's history: a row per minute and subject, written by whichever worker comes first.

-- sample --
-- How it stands now, and what ended in the whole minute before. Every worker tries every other second,
-- so the first line ends it at once where the minute has its rows.
with minute as (
  select date_trunc('minute', now()) as at
  where not exists (select from queue_samples where at = date_trunc('minute', now()))
), live as (
  select j.stage as subject,
         count(*) filter (where j.status = 'queued') as waiting,
         count(*) filter (where j.status = 'running') as running,
         extract(epoch from now() - min(j.run_at) filter (where j.status = 'queued' and j.run_at <= now()))
           as oldest
  from processing_jobs j, minute where j.status in ('queued', 'running') group by j.stage
), documents_live as (
  select 'document' as subject,
         count(*) filter (where not is_running) as waiting, count(*) filter (where is_running) as running,
         max(oldest) as oldest
  from (select bool_or(j.status = 'running') as is_running,
               extract(epoch from now() - min(j.run_at) filter (where j.status = 'queued' and j.run_at <= now()))
                 as oldest
        from processing_jobs j, minute where j.status in ('queued', 'running') group by j.document_id) d
), ended as (
  select j.stage, j.document_id, j.status, a.outcome
  from minute m
  join job_attempts a on a.ended_at >= m.at - interval '1 minute' and a.ended_at < m.at
  join processing_jobs j on j.id = a.job_id
), done as (
  select stage as subject, count(*) filter (where outcome = 'succeeded') as finished,
         count(*) filter (where outcome in ('failed', 'lease_expired')) as failed
  from ended group by stage
  union all
  select 'document', count(*) filter (where d.status = 'completed'),
         count(*) filter (where d.status = 'failed')
  from minute m join documents d on d.id in (select document_id from ended)
  where d.changed_at >= m.at - interval '1 minute' and d.changed_at < m.at
)
insert into queue_samples (at, subject, waiting, running, oldest_seconds, finished, failed)
select m.at, s.subject, coalesce(l.waiting, 0), coalesce(l.running, 0), l.oldest::int,
       coalesce(d.finished, 0), coalesce(d.failed, 0)
from minute m
cross join unnest(array['document', 'parse', 'chunk', 'embed']) as s (subject)
left join (select * from live union all select * from documents_live) l on l.subject = s.subject
left join done d on d.subject = s.subject
on conflict (at, subject) do nothing;

-- prune --
delete from queue_samples where at < now() - interval '7 days';

-- sum_tallies --
-- Many rows become few, and their sums stay what they are.
with taken as (delete from tallies returning *)
insert into tallies (subject, outcome, reason, bucket, n, micros, units)
select subject, outcome, reason, bucket, sum(n), sum(micros), sum(units)
from taken group by subject, outcome, reason, bucket;
