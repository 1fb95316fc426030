-- Whether the database keeps clean: what `docmill doctor` asks of PostgreSQL's own statistics.

-- dead_rows --
-- Tables of which more is dead than vacuum should have let come to: a fifth, and not only a few rows. They are
-- set to a fiftieth, so this much means that vacuum can't keep up or can't clean.
select relname as "table", n_live_tup as live, n_dead_tup as dead,
       coalesce(to_char(greatest(last_autovacuum, last_vacuum) at time zone 'UTC',
                        'YYYY-MM-DD HH24:MI "UTC"'), 'never') as vacuumed
from pg_stat_user_tables
where schemaname = 'docmill' and n_dead_tup > %(few)s and n_dead_tup > n_live_tup / 5
order by n_dead_tup desc;

-- holders --
-- What keeps vacuum from rows that died since: a transaction that is open for long, one that was prepared and
-- forgotten, a replication slot that nobody reads. A slot also keeps WAL, until the disk is full.
select 'transaction' as kind, pid::text as name,
       coalesce(nullif(application_name, ''), usename) || ' (' || coalesce(state, '?') || ')' as who,
       extract(epoch from now() - xact_start)::bigint as seconds
from pg_stat_activity
where datname = current_database() and xact_start < now() - make_interval(secs => %(long)s)
  and pid <> pg_backend_pid() and backend_type = 'client backend'
union all
select 'prepared transaction', gid, owner, extract(epoch from now() - prepared)::bigint
from pg_prepared_xacts where prepared < now() - make_interval(secs => %(long)s)
union all
select 'replication slot', slot_name, coalesce(plugin, slot_type), null
from pg_replication_slots
where not active and (xmin is not null or catalog_xmin is not null or restart_lsn is not null)
order by 1, 2;

-- fat_indexes --
-- Indexes far larger than what they are of. Of B-trees, no entry of ours has so many bytes by far; what a
-- burst leaves of one is used again and not given back. The index of words (GIN) never forgets a word, so
-- one of documents full of numbers that come and go grows for ever; it should be smaller than the passages.
select c.relname as "index", pg_relation_size(c.oid) as bytes, greatest(c.reltuples, 0)::bigint as live
from pg_class c
join pg_index i on i.indexrelid = c.oid
join pg_am a on a.oid = c.relam
where c.relnamespace = 'docmill'::regnamespace
  and pg_relation_size(c.oid) > %(large)s
  and (a.amname = 'btree' and pg_relation_size(c.oid) > greatest(c.reltuples, 0) * %(entry)s
       or a.amname = 'gin' and pg_relation_size(c.oid) > 2 * pg_table_size(i.indrelid))
order by 2 desc;

-- oldest_id --
-- How far transaction ids have come since the last row was frozen. At two thousand million PostgreSQL stops.
select age(datfrozenxid) as age from pg_database where datname = current_database();
