-- Which vectors are in the vector index: those of owners who have so many that looking at all of them takes long.

-- note_large_owners --
-- Makes one row of an owner's counts, and notes those who have become large. Counts that other commits add
-- meanwhile are left for the next time.
with several as (
  select owner_id from vectors_come group by owner_id having count(*) > 1
), taken as (
  delete from vectors_come c using several s where c.owner_id = s.owner_id returning c.*
), summed as (
  select owner_id, sum(vectors) as vectors from taken group by owner_id
), large as (
  insert into large_owners (owner_id) select owner_id from summed where vectors > %(few)s
  on conflict (owner_id) do nothing
)
insert into vectors_come (owner_id, vectors)
select owner_id, vectors from summed where vectors <= %(few)s;

-- index_some --
-- Puts some vectors of large owners into the index that came before their owner was known to be large. Two
-- workers do so side by side, and neither waits for a document that is being deleted.
with batch as (
  select e.document_id, e.generation, e.ordinal, e.model_id
  from large_owners o
  cross join lateral (
    select document_id, generation, ordinal, model_id from embeddings
    where owner_id = o.owner_id and not indexed
    limit %(some)s
    for update skip locked) e
  limit %(some)s
)
update embeddings e set indexed = true
from batch b
where (e.document_id, e.generation, e.ordinal, e.model_id)
  = (b.document_id, b.generation, b.ordinal, b.model_id);
