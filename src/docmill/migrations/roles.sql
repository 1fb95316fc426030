-- Roles, schema and extension: what exists once per database, before any table does.
-- Run before every migration, under the same lock; each statement can be run again.
--
-- docmill_owner owns the tables and can't log in. The API and the workers log in as two roles that
-- own nothing, are no superusers and can't become anything else. Row-level security is forced, so
-- even the owner sees no row.
do $$
begin
  if not exists (select from pg_roles where rolname = 'docmill_owner') then
    create role docmill_owner nologin;
  end if;
  if not exists (select from pg_roles where rolname = 'docmill_api') then
    create role docmill_api login noinherit;
  end if;
  if not exists (select from pg_roles where rolname = 'docmill_worker') then
    create role docmill_worker login noinherit;
  end if;
  -- For schedulers, which only ask whether there is work. Without a password until an admin sets one.
  if not exists (select from pg_roles where rolname = 'docmill_scheduler') then
    create role docmill_scheduler login noinherit;
  end if;
  -- Whoever migrates acts as the owner; a superuser may anyway. Any other role needs a grant, also
  -- where it created the role: since PostgreSQL 16 that makes it a member who can't become it.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant docmill_owner to %I', current_user);
  end if;
  if not exists (select from pg_extension where extname = 'vector') then
    create schema if not exists extensions;
    grant usage on schema extensions to public;
    create extension vector with schema extensions;
  end if;
end $$;

create schema if not exists docmill authorization docmill_owner;
grant usage on schema docmill to docmill_api, docmill_worker, docmill_scheduler;

-- The path is fixed per role, with nothing on it that others can write to. It belongs to the role
-- and not to the session, so it holds behind a transaction pooler too; and to the role in this
-- database, because another one of the same server may keep the extension elsewhere.
do $$
declare
  place text := (
    select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'vector');
  path text := 'docmill, ' || quote_ident(place);
  role text;
begin
  -- Where somebody else made the extension, its schema need not be open to everybody.
  foreach role in array array['docmill_owner', 'docmill_api', 'docmill_worker'] loop
    if not has_schema_privilege(role, place, 'usage') then
      execute format('grant usage on schema %I to %I', place, role);
    end if;
  end loop;
  foreach role in array array['docmill_api', 'docmill_worker'] loop
    execute format('alter role %I in database %I set search_path = %s',
                   role, current_database(), path);
    -- A frozen worker in mid-transaction would hold its job's row for ever: reaping skips locked
    -- rows.
    execute format('alter role %I in database %I set idle_in_transaction_session_timeout = %L',
                   role, current_database(), '30s');
    -- One that stands still while it sends a long statement is not idle: the server waits for the rest. From
    -- PostgreSQL 17 on there is a limit for that, too. docmill's transactions take seconds at most.
    if current_setting('server_version_num')::int >= 170000 then
      execute format('alter role %I in database %I set transaction_timeout = %L',
                     role, current_database(), '5min');
    end if;
    -- A machine that lost its power or its network does not hang up. Its sessions, and the locks that
    -- they hold, end in half a minute and not in the two hours of the system.
    execute format('alter role %I in database %I set tcp_keepalives_idle = 10',
                   role, current_database());
    execute format('alter role %I in database %I set tcp_keepalives_interval = 5',
                   role, current_database());
    execute format('alter role %I in database %I set tcp_keepalives_count = 3',
                   role, current_database());
    execute format('alter role %I in database %I set tcp_user_timeout = %L',
                   role, current_database(), '25s');
    -- Row-level security asks for the rows of an owner whom the planner does not know, and it thinks of
    -- an average one. At the default of 4 it then rather collects and sorts all rows than reads the few
    -- that are asked for in the order of an index, which for an owner of many is a hundred times dearer.
    execute format('alter role %I in database %I set random_page_cost = 1.1',
                   role, current_database());
  end loop;
  execute 'set local search_path = ' || path;
end $$;

-- oldest_code: the newest migration that a docmill must know to go on with this schema. A migration
-- that only adds leaves it at 0; one that takes away what older code uses says which code that is.
create table if not exists docmill.schema_migrations (
  version int primary key,
  name text not null,
  oldest_code int not null default 0,
  applied_at timestamptz not null default now()
);
alter table docmill.schema_migrations owner to docmill_owner;
grant select on docmill.schema_migrations to docmill_api, docmill_worker;
