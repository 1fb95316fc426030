"""A session of the server that is ours alone, and what it keeps then: the plans of its statements.

To plan one of the queue's statements takes as long as to run it. A transaction pooler gives each
transaction another session, where nothing may be kept; so only a session that greeted us itself is
told to keep plans. What it keeps may have been planned when there was hardly a row, and for all
values alike. So it never reads a table through, and `tests/plans` holds what each statement reads
after it was planned in an empty database.
"""

from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import tuple_row

# Just-in-time compiling is for long queries. PostgreSQL 17 and earlier put such a cost on reading a
# table through that they take a query that has no other way for a long one.
KEEP_PLANS = b"""
select set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false)
"""
# A statement is kept when it is first asked for; kept the second time, it would be planned twice.
# So many are kept, and those asked last.
PREPARE_AFTER = 0
KEPT = 200


def session_of(connection: Connection[Any]) -> int:
    """The process id of the session that answers."""
    cursor = connection.cursor(row_factory=tuple_row)
    (pid,) = cursor.execute("select pg_backend_pid()").fetchone() or (0,)
    return int(pid)


def is_direct(connection: Connection[Any]) -> bool:
    """Whether the session that answers is the one that greeted us: a pooler greets by itself."""
    return session_of(connection) == connection.info.backend_pid


def keep_plans(connection: Connection[Any]) -> None:
    """Let a new connection's session keep plans, if it is ours."""
    connection.autocommit = True
    if is_direct(connection):
        connection.execute(KEEP_PLANS)
        connection.prepare_threshold = PREPARE_AFTER
        connection.prepared_max = KEPT
    connection.autocommit = False


def is_stale(error: psycopg.Error) -> bool:
    """Whether a kept plan no longer fits, for a migration gave its answer other columns.

    The server says so in words of any language; the place that says it has one name.
    """
    return error.diag.source_function == "RevalidateCachedQuery"
