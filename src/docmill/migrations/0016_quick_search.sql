-- Search by words with the index of words. Row-level security keeps `@@` from the index: it is not
-- declared to be free of leaks, so each of an owner's passages was read and looked at, for any query.
-- This function reads as the role that sees all rows, and gives out what is the asking owner's, by
-- the same claim that row-level security reads. It gives names and scores; the texts are read by
-- the API's own role, behind row-level security, as ever.
--
-- plpgsql plans a statement with the values at hand, if told to: how many of the passages are the
-- owner's decides whether the words or the owner's documents come first.
create function find_by_words(
  any_word tsquery, each_word tsquery[], phrase tsquery, in_collection text, having_metadata jsonb,
  most int
) returns table (document_id uuid, generation int, ordinal int, in_a_row boolean, score float8)
language plpgsql stable security definer
set search_path = docmill, pg_temp
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  asking uuid := current_owner();
begin
  -- One that has the words in a row comes first; then the share of the query's words that a passage
  -- has decides, because ts_rank_cd knows no rare words: five times `the` would outweigh the one word
  -- that matters. It only breaks ties (33: it grows with the logarithm of the length, and is below 1).
  return query
  select k.document_id, k.generation, k.ordinal, k.words @@ phrase,
         (k.words @@ phrase)::int
           + ((select count(*) from unnest(each_word) as word where k.words @@ word)
              + ts_rank_cd(k.words, any_word, 33)) / cardinality(each_word) as score
  from chunks k
  join documents d on d.id = k.document_id and d.serving = k.generation
  left join collections c on c.id = d.collection_id
  where k.words @@ any_word and k.owner_id = asking and d.owner_id = asking
    and (in_collection is null or c.name = in_collection)
    and (having_metadata = '{}' or d.metadata @> having_metadata)
  order by score desc, k.document_id, k.ordinal
  limit most;
end $$;

reset role;
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant docmill_worker to %I', current_user);
  end if;
  grant create on schema docmill to docmill_worker;
  alter function docmill.find_by_words owner to docmill_worker;
  revoke execute on function docmill.find_by_words from public;
  grant execute on function docmill.find_by_words to docmill_api;
  revoke create on schema docmill from docmill_worker;
end $$;
set local role docmill_owner;
