-- How much of each stage may run at once, on all machines together. What claims make of it is in
-- `open_stages` (migrations/0004) and `keep_to_limits` (job_queue.sql).

-- paused --
select stage from stage_limits where paused order by array_position(array['parse', 'chunk', 'embed'], stage);
