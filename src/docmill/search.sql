-- Two ways to find passages, merged by rank in search.py. Only the generation that serves is found.
-- Documents are named as text, by which they are quicker told apart there than by the driver's UUIDs.

-- nearest --
-- By meaning: the vectors nearest to the query's. {dimensions}, {model_id} and {index} are literals, put in by
-- search.py, because the index of the model is on that very expression.
--
-- There are two ways. To look at every passage that may be found costs in proportion to their number, a
-- microsecond each. The index gives the nearest of all owners that it holds, 12 microseconds each, until enough
-- of them may be found, and 800 at least: it costs in proportion to all passages in it by those that may be
-- found. Both cost the same where the square of the latter is 600 times the former: `few` is that
-- number, and 10,000 at least. PostgreSQL does not weigh this by itself: it takes the index's next
-- row for much cheaper than it is. What is not in the index (yet), because its owner is not known to be large
-- (vector_index.py), is looked at in both ways.
--
-- The owner is named beside row-level security, which decides: so the planner knows whose rows it
-- plans for. An empty filter is left out for the planner, too, who takes any for a rare one.
with measure as materialized (
  select few, few / greatest(1, passages / greatest(1, documents)) as documents
  from (
    select greatest(10000, sqrt(600 * greatest(0, i.reltuples))) as few,
           e.reltuples as passages, d.reltuples as documents
    from pg_class e
    join pg_class d on d.oid = 'documents'::regclass
    left join pg_class i on i.oid = to_regclass({index})
    where e.oid = 'embeddings'::regclass
  ) known
), within as materialized (
  select d.id, d.serving, d.chunks_total
  from documents d
  left join collections c on c.id = d.collection_id
  where d.owner_id = %(owner)s and d.serving is not null
    and (%(collection)s::text is null or c.name = %(collection)s)
    and (%(metadata)s::jsonb = '{{}}' or d.metadata @> %(metadata)s::jsonb)
  limit (select documents + 1 from measure)
), choice as materialized (
  select count(*) <= (select documents from measure)
     and coalesce(sum(chunks_total), 0) <= (select few from measure) as is_few
  from within
), all_looked_at as materialized (
  select e.document_id, e.generation, e.ordinal,
         e.embedding::vector({dimensions}) <=> %(vector)s::vector({dimensions}) as distance
  from within w
  join embeddings e on e.document_id = w.id and e.generation = w.serving
  where e.model_id = {model_id} and (select is_few from choice)
), not_indexed as materialized (
  select e.document_id, e.generation, e.ordinal,
         e.embedding::vector({dimensions}) <=> %(vector)s::vector({dimensions}) as distance
  from embeddings e
  join documents d on d.id = e.document_id and d.serving = e.generation
  left join collections c on c.id = d.collection_id
  where e.model_id = {model_id} and not e.indexed and not (select is_few from choice)
    and e.owner_id = %(owner)s and d.owner_id = %(owner)s
    and (%(collection)s::text is null or c.name = %(collection)s)
    and (%(metadata)s::jsonb = '{{}}' or d.metadata @> %(metadata)s::jsonb)
)
select document_id::text, generation, ordinal, 1 - distance as score
from (
  (select * from all_looked_at order by distance limit %(limit)s)
  union all
  (select * from not_indexed order by distance limit %(limit)s)
  union all
  (select e.document_id, e.generation, e.ordinal,
          e.embedding::vector({dimensions}) <=> %(vector)s::vector({dimensions})
   from embeddings e
   join documents d on d.id = e.document_id and d.serving = e.generation
   left join collections c on c.id = d.collection_id
   where e.model_id = {model_id} and e.indexed and not (select is_few from choice)
     and e.owner_id = %(owner)s and d.owner_id = %(owner)s
     and (%(collection)s::text is null or c.name = %(collection)s)
     and (%(metadata)s::jsonb = '{{}}' or d.metadata @> %(metadata)s::jsonb)
   order by e.embedding::vector({dimensions}) <=> %(vector)s::vector({dimensions})
   limit %(limit)s)
) found
order by distance
limit %(limit)s;

-- matching --
-- By words: passages with any of the query's words. The function is in the migrations: only one that
-- sees all rows may use the index of words.
select document_id::text, generation, ordinal, in_a_row, score
from find_by_words(%(any)s::tsquery, %(each)s::tsquery[], %(phrase)s::tsquery, %(collection)s::text,
                   %(metadata)s::jsonb, %(limit)s);

-- read_passages --
select k.document_id::text, k.generation, k.ordinal, k.text, k.page_first, k.page_last, k.char_start,
       k.char_end, k.headings, coalesce(d.served_filename, d.filename) as filename, d.metadata
from chunks k
join unnest(%(documents)s::uuid[], %(generations)s::int[], %(ordinals)s::int[])
  as hit (document_id, generation, ordinal)
  on (k.document_id, k.generation, k.ordinal) = (hit.document_id, hit.generation, hit.ordinal)
join documents d on d.id = k.document_id;

-- find_model --
select id, dimensions from embedding_models where name = %(name)s;

-- look_far --
-- For this transaction: a filter is applied behind the index scan. Let the scan go on until enough
-- rows pass it, so that a small collection or a small owner finds as much as a big one. How far it looks
-- around (ef_search) decides how many of the true nearest it finds, and half of its time: with 100 four
-- fifths of them among 200,000 passages, with 800 all but a few in a hundred.
select set_config('hnsw.iterative_scan', 'strict_order', true),
       set_config('hnsw.ef_search', '800', true);
