-- What a document holds: its bytes, its pages, its passages, its history.

-- find_file --
-- Of what is searched; while nothing is yet, of what was sent. A `case` and no `coalesce`: row-level
-- security takes that for something that might tell what it was given, and looks at all of an owner's
-- files before it.
select coalesce(d.served_filename, d.filename) as filename,
       case when d.serving is null then d.media_type else d.served_media_type end as media_type,
       f.id as file_id, f.size, f.sha256
from documents d
join files f on f.id = case when d.serving is null then d.file_id else d.served_file_id end
where d.id = %(document_id)s;

-- find_details --
-- What was said about a document at its upload.
select external_id, metadata, priority from documents where id = %(document_id)s;

-- read_bytes --
-- The parts that hold a range of bytes, a few at a time. They are of any size up to 1 MiB.
select position, data from file_parts
where file_id = %(file_id)s and position <= %(last)s
  and position >= (select max(position) from file_parts
                   where file_id = %(file_id)s and position <= %(first)s)
order by position limit 4;

-- shown_generation --
-- What is searched; while nothing is yet, what is being made.
select coalesce(serving, generation) as generation from documents where id = %(document_id)s;

-- list_pages --
-- Each page with its place in the document's text: the pages joined by two line feeds.
select number, text, char_start, char_start + char_length(text) as char_end
from (
  select number, text,
         sum(char_length(text) + 2) over (order by number) - char_length(text) - 2 as char_start
  from pages where document_id = %(document_id)s and generation = %(generation)s
) placed
where number > %(after)s
order by number limit %(limit)s;

-- read_leaf --
-- The text at one place: a page, or of a page that is long the leaf of so many characters in which
-- the place lies; with the places of the leaves before and behind it. A number behind the last page
-- means the last page.
with placed as (
  select number, text, char_length(text) as length,
         sum(char_length(text) + 2) over (order by number) - char_length(text) - 2 as char_start
  from pages where document_id = %(document_id)s and generation = %(generation)s
), found as (
  select *, case when %(page)s::int is not null then 0
                 else greatest(0, least(%(at)s - char_start, length - 1)) end as inside
  from placed
  where (%(page)s::int is null or number <= %(page)s) and char_start <= %(at)s
  order by number desc limit 1
), leaf as (
  select *, char_start + (inside / %(size)s)::bigint * %(size)s as leaf_start from found
)
select number as page, (select count(*) from placed) as pages,
       (select max(char_start + length) from placed)::bigint as characters,
       leaf_start::bigint as char_start,
       least(leaf_start + %(size)s, char_start + length)::bigint as char_end,
       substr(text, (leaf_start - char_start)::int + 1, %(size)s) as text,
       case when leaf_start > char_start then leaf_start - %(size)s
            else (select p.char_start + greatest(0, p.length - 1) / %(size)s * %(size)s
                  from placed p where p.number < leaf.number order by p.number desc limit 1)
       end::bigint as previous_at,
       case when leaf_start + %(size)s < char_start + length then leaf_start + %(size)s
            else (select p.char_start from placed p
                  where p.number > leaf.number order by p.number limit 1)
       end::bigint as next_at
from leaf;

-- list_chunks_within --
-- The passages that have a character in a stretch of the text.
select ordinal, page_first, page_last, char_start, char_end, headings
from chunks
where document_id = %(document_id)s and generation = %(generation)s
  and char_start < %(char_end)s and char_end > %(char_start)s
order by ordinal;

-- list_chunks --
select generation, ordinal, text, page_first, page_last, char_start, char_end, headings
from chunks
where document_id = %(document_id)s and generation = %(generation)s and ordinal > %(after)s
order by ordinal limit %(limit)s;

-- list_jobs --
-- The audit trail: every job with every attempt, in the order in which they were made.
select j.id, j.generation, j.stage, j.part, j.span, j.status, j.done, j.total, j.priority,
       j.attempt, j.released, j.max_attempts, j.run_at, j.lease_until, j.worker, j.error,
       j.created_at, j.started_at, j.finished_at,
       coalesce((
         select jsonb_agg(jsonb_build_object(
           'attempt', a.attempt, 'worker', a.worker, 'started_at', a.started_at,
           'ended_at', a.ended_at, 'outcome', a.outcome, 'error', a.error) order by a.attempt)
         from job_attempts a where a.job_id = j.id), '[]') as attempts
from processing_jobs j
where j.document_id = %(document_id)s
order by j.id;
