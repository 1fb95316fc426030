-- What the stages keep, and what they read back. Every write here stands in a transaction that
-- `checkpoint_job` or `finish_jobs` fenced first. They take the rows
-- of several documents at once: small ones are kept in groups.

-- advance_documents --
-- The documents' counts grow in the commit that holds what they count, and their versions with them.
-- Warnings are kept once each, fifty at most, and that nothing was found goes before all others.
-- What does not come back was cancelled, failed or deleted meanwhile. Each is named once.
with growing as materialized (
  select g.*
  from (
    select * from unnest(
      %(document_ids)s::uuid[], %(generations)s::int[], %(pages)s::int[], %(pages_totals)s::int[],
      %(chunks)s::int[], %(chunks_totals)s::int[], %(embedded)s::int[], %(stages)s::text[],
      %(media_types)s::text[], %(warnings)s::jsonb[])
      as given (document_id, generation, pages, pages_total, chunks, chunks_total, embedded, stage,
                media_type, warnings)
    order by document_id) g
  cross join lateral (
    select from documents
    where id = g.document_id and generation = g.generation and status = 'processing'
    limit 1 for no key update) d
)
update documents d
set pages_done = d.pages_done + g.pages,
    pages_total = coalesce(g.pages_total, d.pages_total),
    chunks_done = d.chunks_done + g.chunks,
    chunks_total = coalesce(g.chunks_total, d.chunks_total),
    embedded_done = d.embedded_done + g.embedded,
    stage = coalesce(g.stage, d.stage),
    media_type = coalesce(g.media_type, d.media_type),
    warnings = case when g.warnings = '[]' then d.warnings else (
      select jsonb_agg(kept.warning order by kept.first, kept.place) from (
        select warning, warning ->> 'code' <> 'NO_TEXT' as first, min(place) as place
        from jsonb_array_elements(d.warnings || g.warnings) with ordinality as w (warning, place)
        group by warning order by first, place limit 50) as kept) end,
    version = d.version + 1, changed_at = now()
from growing g where d.id = g.document_id
returning d.id;

-- complete_documents --
-- The new generations begin to serve in the very commit that completes them. Returns the bytes that
-- served until now, where those were others.
with before as materialized (
  select c.document_id, d.served_file_id
  from (select * from unnest(%(document_ids)s::uuid[], %(generations)s::int[])
          as given (document_id, generation) order by document_id) c
  cross join lateral (
    select served_file_id from documents
    where id = c.document_id and generation = c.generation and status = 'processing'
    limit 1 for no key update) d
)
update documents d
set status = 'completed', stage = null, error = null, serving = d.generation,
    served_file_id = d.file_id, served_filename = d.filename, served_media_type = d.media_type,
    completed_at = clock_timestamp(), version = d.version + 1, changed_at = now()
from before where d.id = before.document_id
returning d.id, case when before.served_file_id <> d.file_id then before.served_file_id end as former;

-- lock_file --
-- Before `free_file`, so that it sees the document of whoever took these bytes at this very moment.
select from files where id = %(file_id)s for update;

-- free_file --
-- The bytes go with the last document that uses them, or used them for what still serves.
delete from files f
where f.id = %(file_id)s
  and not exists (select from documents d where d.file_id = f.id)
  and not exists (select from documents d where d.served_file_id = f.id);

-- drop_other_pages --
-- What an earlier generation left, once another one serves.
delete from pages where document_id = %(document_id)s and generation <> %(generation)s;

-- drop_other_chunks --
-- As above; the vectors go with their chunks.
delete from chunks where document_id = %(document_id)s and generation <> %(generation)s;

-- keep_pages --
insert into pages (owner_id, document_id, generation, number, text)
select * from unnest(%(owner_ids)b::uuid[], %(document_ids)b::uuid[], %(generations)b::int[],
                     %(numbers)b::int[], %(texts)b::text[]);

-- keep_chunks --
insert into chunks (owner_id, document_id, generation, ordinal, text, page_first, page_last,
                    char_start, char_end, headings, words)
select c.owner_id, c.document_id, c.generation, c.ordinal, c.text, c.page_first, c.page_last,
       c.char_start, c.char_end,
       array(select jsonb_array_elements_text(c.headings)), c.words
from unnest(%(owner_ids)b::uuid[], %(document_ids)b::uuid[], %(generations)b::int[],
            %(ordinals)b::int[], %(texts)b::text[], %(page_firsts)b::int[], %(page_lasts)b::int[],
            %(char_starts)b::bigint[], %(char_ends)b::bigint[], %(headings)b::jsonb[],
            %(words)b::tsvector[])
  as c (owner_id, document_id, generation, ordinal, text, page_first, page_last, char_start,
        char_end, headings, words);

-- keep_embeddings --
-- The vectors come as one array of all their numbers: vectors.py. Those of large owners go into the vector index
-- as they come; those of others are counted, for whoever has many is large (vector_index.py).
with kept as (
  insert into embeddings (owner_id, document_id, generation, ordinal, model_id, embedding, indexed)
  select e.owner_id, e.document_id, e.generation, e.ordinal, %(model_id)s,
         (%(numbers)b::real[])[(e.nth - 1) * %(dimensions)s + 1 : e.nth * %(dimensions)s]::vector,
         exists (select from large_owners o where o.owner_id = e.owner_id)
  from unnest(%(owner_ids)b::uuid[], %(document_ids)b::uuid[], %(generations)b::int[],
              %(ordinals)b::int[]) with ordinality
    as e (owner_id, document_id, generation, ordinal, nth)
  returning owner_id, indexed
)
insert into vectors_come (owner_id, vectors)
select owner_id, count(*) from kept where not indexed group by owner_id;

-- read_pages --
-- A slice by number: a document of thousands of pages is never read at once.
select number, text from pages
where document_id = %(document_id)s and generation = %(generation)s and number > %(after)s
order by number limit %(limit)s;

-- read_chunks --
select ordinal, text from chunks
where document_id = %(document_id)s and generation = %(generation)s
  and ordinal between %(first)s and %(last)s
order by ordinal;

-- read_file_parts --
-- A few parts at a time, so that a file of any size passes through little memory.
select position, data from file_parts
where file_id = %(file_id)s and position >= %(position)s
order by position limit %(limit)s;

-- read_small_files --
-- The files of a group, each of a part or a few.
select file_id, data from file_parts
where file_id = any(%(file_ids)s::uuid[])
order by file_id, position;

-- find_model --
select id, dimensions from embedding_models where name = %(name)s;
