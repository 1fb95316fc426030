-- The vector index holds the vectors of large owners only. Those of an owner of few passages are all looked at
-- (search.sql), so that their places in the index were never read, and cost half of the database's work for a
-- small document and more memory than the vectors themselves.

-- Whether the vector is in its model's index, which `docmill migrate` makes with this as its condition. All that
-- are there now were put into the index that there was.
alter table embeddings add column indexed boolean not null default true;
alter table embeddings alter column indexed set default false;
-- Those of a large owner that are not in the index yet.
create index embeddings_not_indexed on embeddings (owner_id) where not indexed;

-- Whose vectors go into the index as they come. Who was large once stays here.
create table large_owners (
  owner_id uuid primary key,
  since timestamptz not null default now()
);
insert into large_owners (owner_id) select owner_id from embeddings group by owner_id having count(*) > 10000;

-- How many vectors of all others have come, also of those that have gone again. Rows are only added, so that no
-- commit waits for another; once a minute whichever worker comes first makes one row of an owner's.
create table vectors_come (
  owner_id uuid not null,
  vectors bigint not null check (vectors >= 1)
) with (autovacuum_vacuum_scale_factor = 0.02);

do $$
declare
  name text;
begin
  foreach name in array array['large_owners', 'vectors_come'] loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy worker on %I to docmill_worker using (true) with check (true)',
                   name);
  end loop;
end $$;
grant select, insert on large_owners to docmill_worker;
grant select, insert, delete on vectors_come to docmill_worker;
