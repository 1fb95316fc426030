-- An owner's documents as a list: which of them, in what order, how many, in which collections.
-- Row-level security leaves the asking owner's rows only.

-- list_documents --
-- Documents behind a place in the list, by id; their status is read by `read_status`. {key}, {type},
-- {beyond} and {direction} are a row of the table SORTS in listing.py. The id makes the order total.
select d.id, {key} as key
from documents d
where (%(statuses)s::text[] is null or d.status = any(%(statuses)s))
  and (%(collection)s::text is null
       or d.collection_id = (select id from collections where name = %(collection)s))
  and (%(text)s::text is null or d.filename ilike %(pattern)s or d.external_id = %(text)s
       or d.id::text = %(text)s)
  and (%(place_id)s::uuid is null or ({key}, d.id) {beyond} (%(place_key)s::{type}, %(place_id)s::uuid))
order by {key} {direction}, d.id {direction}
limit %(limit)s;

-- count_documents --
-- How many documents of a list are in each state, whatever states the list is narrowed to.
select d.status, count(*) as documents
from documents d
where (%(collection)s::text is null
       or d.collection_id = (select id from collections where name = %(collection)s))
  and (%(text)s::text is null or d.filename ilike %(pattern)s or d.external_id = %(text)s
       or d.id::text = %(text)s)
group by d.status;

-- list_collections --
select c.name, count(d.id) as documents
from collections c left join documents d on d.collection_id = c.id
where %(after)s::text is null or c.name > %(after)s
group by c.id, c.name
order by c.name
limit %(limit)s;
