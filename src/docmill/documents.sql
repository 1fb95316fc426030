-- What the stages keep, and what they read back. Every write here stands in a transaction that
-- `checkpoint_job` or `finish_job` fenced first.

-- advance_document --
-- The document's counts grow in the commit that holds what they count, and its version with them.
-- Warnings are kept once each, fifty at most, and that nothing was found goes before all others.
-- No row: the document was cancelled, failed or deleted meanwhile.
update documents
set pages_done = pages_done + %(pages)s,
    pages_total = coalesce(%(pages_total)s, pages_total),
    chunks_done = chunks_done + %(chunks)s,
    chunks_total = coalesce(%(chunks_total)s, chunks_total),
    embedded_done = embedded_done + %(embedded)s,
    stage = coalesce(%(stage)s, stage),
    media_type = coalesce(%(media_type)s, media_type),
    warnings = case when %(warnings)s = '[]' then warnings else (
      select jsonb_agg(kept.warning order by kept.first, kept.place) from (
        select warning, warning ->> 'code' <> 'NO_TEXT' as first, min(place) as place
        from jsonb_array_elements(warnings || %(warnings)s) with ordinality as w (warning, place)
        group by warning order by first, place limit 50) as kept) end,
    version = version + 1, changed_at = now()
where id = %(document_id)s and generation = %(generation)s and status = 'processing'
returning pages_done, pages_total, chunks_done, chunks_total;

-- complete_document --
-- The new generation begins to serve in the very commit that completes it. Returns the bytes that
-- served until now.
with before as (
  select id, served_file_id from documents
  where id = %(document_id)s and generation = %(generation)s and status = 'processing'
  for no key update
)
update documents d
set status = 'completed', stage = null, error = null, serving = d.generation,
    served_file_id = d.file_id, served_filename = d.filename, served_media_type = d.media_type,
    completed_at = clock_timestamp(), version = d.version + 1, changed_at = now()
from before where d.id = before.id
returning case when before.served_file_id <> d.file_id then before.served_file_id end as former;

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
select %(owner_id)s, %(document_id)s, %(generation)s, p.number, p.text
from unnest(%(numbers)s::int[], %(texts)s::text[]) as p (number, text);

-- keep_chunks --
insert into chunks (owner_id, document_id, generation, ordinal, text, page_first, page_last,
                    char_start, char_end, headings, words)
select %(owner_id)s, %(document_id)s, %(generation)s, c.ordinal, c.text, c.page_first, c.page_last,
       c.char_start, c.char_end,
       array(select jsonb_array_elements_text(c.headings)), c.words::tsvector
from unnest(%(ordinals)s::int[], %(texts)s::text[], %(page_firsts)s::int[], %(page_lasts)s::int[],
            %(char_starts)s::bigint[], %(char_ends)s::bigint[], %(headings)s::jsonb[],
            %(words)s::text[])
  as c (ordinal, text, page_first, page_last, char_start, char_end, headings, words);

-- keep_embeddings --
insert into embeddings (owner_id, document_id, generation, ordinal, model_id, embedding)
select %(owner_id)s, %(document_id)s, %(generation)s, e.ordinal, %(model_id)s, e.vector::vector
from unnest(%(ordinals)s::int[], %(vectors)s::text[]) as e (ordinal, vector);

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

-- find_model --
select id, dimensions from embedding_models where name = %(name)s;
