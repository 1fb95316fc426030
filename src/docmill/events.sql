-- What is told of a document's end, written in the very commit that ends it.

-- announce_ends --
-- One row for each webhook that wants to know, with the body as it will be sent. Goes right behind the
-- statement that ends the documents, which holds their rows: the version is that of this end. A webhook
-- that is being deleted is waited for, and has no row then; otherwise its key would be missed.
insert into webhook_deliveries (owner_id, webhook_id, document_id, version, event, body)
select d.owner_id, w.id, d.id, d.version, e.type, row_to_json(e)::text
from documents d
join webhooks w on w.owner_id = d.owner_id
left join collections c on c.id = d.collection_id
left join lateral (
  select f.code, f.title, f.detail, f.stage, f.attempt, f.retryable
  from jsonb_to_record(d.error)
    as f (code text, title text, detail text, stage text, attempt int, retryable boolean)
  where d.error is not null) f on true
cross join lateral (
  select d.id as document_id, d.status, d.version, d.generation, d.filename, c.name as collection,
         d.external_id, case when d.error is not null then f end as error) as data
cross join lateral (
  select 'document.' || d.status as type,
         to_char(d.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as timestamp,
         data) as e
where d.id = any(%(document_ids)s::uuid[]) and d.status in ('completed', 'failed', 'cancelled')
  and w.disabled_at is null and e.type = any (w.events)
order by w.id, d.id
for key share of w
on conflict (webhook_id, document_id, version) do nothing;
