-- A claim walks `jobs_per_owner` alone. With a second index of the waiting jobs the planner had a
-- choice, and while it did not know yet that ten thousand had come, it chose wrongly: one claim read
-- the whole queue for each owner and each candidate, and took minutes.
drop index jobs_to_claim;

-- Positions are counted line by line, and these are the lines that there are.
alter table processing_jobs add constraint known_line check (
  stage = 'parse' and priority in (-10, 0, 10) or stage <> 'parse' and priority in (-11, -1, 9));

-- The key that attempts refer to begins with the job. One that begins with the owner is an index of
-- all jobs that an owner ever had, and where the planner knows nothing of the table (after a restore)
-- it read that to find the ten of a document.
alter table job_attempts drop constraint job_attempts_owner_id_job_id_fkey;
alter table processing_jobs drop constraint processing_jobs_owner_id_id_key,
  add unique (id, owner_id);
alter table job_attempts add foreign key (owner_id, job_id)
  references processing_jobs (owner_id, id) on delete cascade;

-- The newest of one collection, without reading the rest.
drop index documents_by_collection;
create index documents_by_collection on documents (owner_id, collection_id, created_at desc, id desc)
  where collection_id is not null;
