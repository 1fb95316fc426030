-- What a user may ask of a document that exists: cancel, retry, reprocess, delete.
-- Each begins with `lock_jobs` of job_queue.sql, for the one lock order.

-- cancel_document --
update documents
set status = 'cancelled', stage = null, version = version + 1, changed_at = now()
where id = %(document_id)s and status in ('queued', 'processing')
returning id;

-- retry_document --
-- The counts stay: what was committed is done, and the work goes on behind it.
update documents
set status = 'queued', error = null, version = version + 1, changed_at = now()
where id = %(document_id)s and status in ('failed', 'cancelled')
returning generation;

-- reprocess_document --
-- A new generation from nothing. The one that serves goes on serving until this one is complete.
update documents
set status = 'queued', generation = generation + 1, error = null, warnings = '[]',
    traceparent = %(traceparent)s,
    pages_done = 0, pages_total = null, chunks_done = 0, chunks_total = null, embedded_done = 0,
    started_at = null, completed_at = null, version = version + 1, changed_at = now()
where id = %(document_id)s and status in ('completed', 'failed', 'cancelled')
returning generation;

-- add_parse_job --
insert into processing_jobs (document_id, generation, stage, priority, max_attempts)
select %(document_id)s, %(generation)s, 'parse', priority, %(max_attempts)s
from documents where id = %(document_id)s;

-- find_document --
select status, file_id from documents where id = %(document_id)s;

-- hold_webhooks --
-- Webhooks that were or will be told of the document stay until it is deleted: a deletion of one at the
-- same moment would delete some of the same deliveries, in another order.
select from webhooks
where id in (select webhook_id from webhook_deliveries where document_id = %(document_id)s)
order by id
for key share;

-- delete_document --
-- Jobs, attempts, pages, passages and vectors go with it. A worker that holds a job finds no row
-- at its fence and at its next beat.
delete from documents where id = %(document_id)s returning file_id, served_file_id;
