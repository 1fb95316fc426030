-- What `docmill doctor` asks a database. As whichever role looks.

-- who --
-- Whom the address leads to, and what that role could do beyond docmill's own rules.
select current_user as role, current_setting('server_version') as version,
       r.rolsuper or r.rolbypassrls as is_above_rules,
       coalesce((select version from pg_stat_ssl where pid = pg_backend_pid()), '') as tls
from pg_roles r where r.rolname = current_user;

-- vector --
-- The extension, and whether it could be had where it is not there.
select (select extversion from pg_extension where extname = 'vector') as installed,
       (select default_version from pg_available_extensions where name = 'vector') as available;

-- missing_grants --
-- Each table says by its policies which roles have to do with it. Where such a role then may do nothing
-- at all, grants were lost; by a restore without them, say. What was paid for is the workers' alone,
-- whatever its policies say.
select distinct c.relname as table
from pg_policy p
join pg_class c on c.oid = p.polrelid
where c.relnamespace = to_regnamespace('docmill') and c.relname <> 'paid_embeddings'
  and (select oid from pg_roles where rolname = current_user) = any (p.polroles)
  and not has_any_column_privilege(c.oid, 'select, insert, update')
  and not has_table_privilege(c.oid, 'delete')
order by 1;
