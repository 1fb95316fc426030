-- Two ways to find passages, merged by rank in search.py. Only the generation that serves is found.

-- nearest --
-- By meaning: the vectors nearest to the query's, through the index of the model. {dimensions} and
-- {model_id} are literals, put in by search.py, because the index is on that very expression.
select e.document_id, e.generation, e.ordinal,
       1 - (e.embedding::vector({dimensions}) <=> %(vector)s::vector({dimensions})) as score
from embeddings e
join documents d on d.id = e.document_id and d.serving = e.generation
left join collections c on c.id = d.collection_id
where e.model_id = {model_id}
  and (%(collection)s::text is null or c.name = %(collection)s)
  and d.metadata @> %(metadata)s::jsonb
order by e.embedding::vector({dimensions}) <=> %(vector)s::vector({dimensions})
limit %(limit)s;

-- matching --
-- By words: passages with any of the query's words. One that has them in a row comes first; then
-- the share of the query's words that a passage has decides, because ts_rank_cd knows no rare words:
-- five times `the` would outweigh the one word that matters. It only breaks ties (33: it grows with
-- the logarithm of the length, and is below 1).
select k.document_id, k.generation, k.ordinal, k.words @@ %(phrase)s::tsquery as in_a_row,
       (k.words @@ %(phrase)s::tsquery)::int
         + ((select count(*) from unnest(%(each)s::tsquery[]) as word where k.words @@ word)
            + ts_rank_cd(k.words, %(any)s::tsquery, 33)) / cardinality(%(each)s::tsquery[]) as score
from chunks k
join documents d on d.id = k.document_id and d.serving = k.generation
left join collections c on c.id = d.collection_id
where k.words @@ %(any)s::tsquery
  and (%(collection)s::text is null or c.name = %(collection)s)
  and d.metadata @> %(metadata)s::jsonb
order by score desc, k.document_id, k.ordinal
limit %(limit)s;

-- read_passages --
select k.document_id, k.generation, k.ordinal, k.text, k.page_first, k.page_last, k.char_start,
       k.char_end, k.headings, coalesce(d.served_filename, d.filename) as filename, d.metadata
from chunks k
join unnest(%(documents)s::uuid[], %(generations)s::int[], %(ordinals)s::int[])
  as hit (document_id, generation, ordinal)
  on (k.document_id, k.generation, k.ordinal) = (hit.document_id, hit.generation, hit.ordinal)
join documents d on d.id = k.document_id;

-- widen_vector_scan --
-- A filter is applied behind the index scan. Let the scan go on until enough rows pass it, so that
-- a small collection or a small owner finds as much as a big one.
select set_config('hnsw.iterative_scan', 'strict_order', true),
       set_config('hnsw.ef_search', '100', true);

-- find_model --
select id, dimensions from embedding_models where name = %(name)s;
