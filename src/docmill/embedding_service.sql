-- How an embedding service does, and what it was paid for.

-- pause --
-- Only the first failure after a pause makes the next one longer: of the many calls that fail
-- together, each would double it otherwise.
insert into embedding_services as s (name, failures, paused_until, error)
values (%(name)s, 1,
        now() + make_interval(secs => greatest(coalesce(%(retry_after)s::float8, 0),
          least(%(cap)s::float8, %(base)s::float8) * (0.5 + random() / 2))),
        %(error)s)
on conflict (name) do update
set failures = s.failures + 1, error = excluded.error,
    paused_until = now() + make_interval(secs => greatest(coalesce(%(retry_after)s::float8, 0),
      least(%(cap)s::float8, %(base)s::float8 * 2 ^ least(s.failures, 30)) * (0.5 + random() / 2)))
where s.paused_until <= now();

-- find_pause --
select extract(epoch from paused_until - now())::float8 as seconds, error
from embedding_services where name = %(name)s and paused_until > now();

-- heal --
delete from embedding_services where name = %(name)s;

-- find_paid --
select w.owner_id, w.hash, p.embedding::text as vector
from unnest(%(owner_ids)s::uuid[], %(hashes)s::bytea[]) as w (owner_id, hash)
cross join lateral (
  select embedding from paid_embeddings
  where owner_id = w.owner_id and model_id = %(model_id)s and text_sha256 = w.hash limit 1) p;

-- keep_paid --
insert into paid_embeddings (owner_id, model_id, text_sha256, embedding)
select a.owner_id, %(model_id)s, a.hash,
       (%(numbers)b::real[])[(a.nth - 1) * %(dimensions)s + 1 : a.nth * %(dimensions)s]::vector
from unnest(%(owner_ids)b::uuid[], %(hashes)b::bytea[]) with ordinality as a (owner_id, hash, nth)
on conflict (owner_id, model_id, text_sha256) do nothing;

-- count_call --
-- In the commit that keeps the answer, for /metrics.
select tally('embedding', 'answered', '', %(seconds)s::float8, %(texts)s::bigint);
