"""Connections to PostgreSQL, and the SQL that lies beside the modules in `.sql` files.

Everything here works behind a transaction pooler: nothing needs prepared statements, session
settings or session locks. Workers whose sessions are theirs alone do prepare, which is quicker
(`own_session.py`). LISTEN is the one exception, and it is only ever a hint (`wakeup.py`). What the
API asks all the time is a function of the database, whose plans the server keeps
(`migrations/0015`).
"""

import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection, AsyncCursor, Connection, IsolationLevel
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from docmill import failpoint, own_session
from docmill.failpoint import ApiCommit, WorkerCommit

API_ROLE = "docmill_api"
WORKER_ROLE = "docmill_worker"
POOLERS_OF_MANY = (".pooler.supabase.com",)
CONNECT_SECONDS = 5
# A server whose machine or network is gone does not hang up. It is given up after half a minute,
# not after the system's two hours; roles.sql has the server do alike. An address that says
# otherwise is heard.
GIVE_UP_VANISHED = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
# How long somebody waits for a connection while all are in use, and while the database is away.
POOL_WAIT_SECONDS = 5.0
AWAY_WAIT_SECONDS = 0.5
# A pool that gave up connecting tries again when somebody asks for a connection, at once. One that
# has not waits longer after each failure, and after a long outage does not see that it is over.
GIVE_UP_CONNECTING_SECONDS = 1.0

Row = DictRow
Sync = Connection[Row]
Async = AsyncConnection[Row]

ACT_FOR = b"select set_config('request.jwt.claims', %(claims)s, true);"
# As `_only_read` and `_act_for`, for those who send it with their first question.
BEGIN_READING = (b"begin isolation level repeatable read read only;", ACT_FOR)

STATEMENT_NAME = re.compile(r"^-- (?P<name>[a-z_]+) --$", re.MULTILINE)


class Statements:
    """The named statements of one `.sql` file, as attributes.

    A file is a list of `-- name --`, comment lines that give the reason, and one statement.
    """

    def __init__(self, name: str) -> None:
        text = files("docmill").joinpath(f"{name}.sql").read_text(encoding="utf-8")
        pieces = STATEMENT_NAME.split(text)[1:]
        self._name = name
        self._statements = {
            title: body.strip().encode()
            for title, body in zip(pieces[::2], pieces[1::2], strict=True)
        }

    def __getattr__(self, name: str) -> bytes:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"{self._name}.sql has no statement {name}") from None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where each side of docmill reaches the database; `admin` only where it may migrate."""

    admin: str | None
    api: str
    worker: str


def addresses(admin: str | None, api: str | None = None, worker: str | None = None) -> Addresses:
    """Fill in the login roles' addresses from the admin's, where they are not given."""
    if admin is None and (api is None or worker is None):
        raise ValueError("without the admin's address both login roles' addresses are needed")
    return Addresses(
        admin,
        api or login_address(admin or "", API_ROLE),
        worker or login_address(admin or "", WORKER_ROLE),
    )


def login_address(admin: str, role: str) -> str:
    """The admin's address, for one of the login roles, with its derived password.

    Supabase's pooler serves many servers under one name. Which one is meant stands behind the user,
    as in `postgres.abcdef`, and so it does behind the role.
    """
    parts: dict[str, Any] = {**conninfo_to_dict(admin)}
    tenant = str(parts.get("user")).partition(".")[1:]
    of_many = str(parts.get("host")).endswith(POOLERS_OF_MANY)
    parts["user"] = "".join((role, *tenant)) if of_many else role
    parts["password"] = derived_password(admin, role)
    return make_conninfo("", **parts)


def derived_password(admin: str, role: str) -> str | None:
    """A login role's password: an HMAC of its name under the admin's password.

    So every machine that knows the admin's address knows it, nobody has to store it, and who
    knows it can't tell the admin's. None where the admin has no password (the server trusts the
    connection, or the login roles' addresses are given by hand).
    """
    secret = conninfo_to_dict(admin).get("password")
    if not secret:
        return None
    return hmac.new(str(secret).encode(), role.encode(), hashlib.sha256).hexdigest()


def impatient(address: str) -> str:
    """The address, with how long a server may be silent before it counts as gone."""
    return make_conninfo("", **{**GIVE_UP_VANISHED, **conninfo_to_dict(address)})


def connect(address: str, *, autocommit: bool = False) -> Sync:
    """Open one connection of one's own, for work that must not wait for a pool."""
    return psycopg.connect(
        impatient(address),
        autocommit=autocommit,
        row_factory=dict_row,
        prepare_threshold=None,
        connect_timeout=CONNECT_SECONDS,
        application_name="docmill",
    )


# The server ended the session of a process that stood still in mid-transaction. psycopg files that
# under internal errors; for us the connection was lost, and nothing is wrong with the work.
TOO_SLOW = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)


class WorkerDatabase:
    """The workers' pool: every owner's rows, by the role `docmill_worker`.

    A transaction reads, or it commits under a name that `failpoint.py` knows. One that reads can't
    write: the server refuses it.
    """

    def __init__(self, address: str, *, connections: int) -> None:
        self.address = address
        self._away = False
        self._pool: ConnectionPool[Sync] = ConnectionPool(
            impatient(address),
            kwargs={
                "row_factory": dict_row,
                "prepare_threshold": None,
                "connect_timeout": CONNECT_SECONDS,
                "application_name": "docmill worker",
            },
            configure=own_session.keep_plans,
            min_size=1,
            max_size=connections,
            reconnect_timeout=GIVE_UP_CONNECTING_SECONDS,
            reconnect_failed=self._note_away,
            open=True,
        )

    @contextmanager
    def reading(self) -> Iterator[Sync]:
        """One transaction that only reads."""
        with self._connection() as connection:
            connection.read_only = True
            yield connection

    @contextmanager
    def commit(self, name: WorkerCommit) -> Iterator[Sync]:
        """One transaction: committed at the end, rolled back by an exception."""
        with self._connection() as connection:
            connection.read_only = False
            yield connection
            failpoint.reach(name, "before")
        failpoint.reach(name, "after")

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def pool_stats(self) -> dict[str, int]:
        """How the pool does, as psycopg_pool counts it."""
        return self._pool.get_stats()

    @contextmanager
    def _connection(self) -> Iterator[Sync]:
        wait = AWAY_WAIT_SECONDS if self._away else POOL_WAIT_SECONDS
        with self._pool.connection(wait) as connection:
            try:
                yield connection
            except psycopg.OperationalError:
                self._away = connection.broken
                raise
            except TOO_SLOW as error:
                raise psycopg.OperationalError(str(error)) from error
            except psycopg.errors.FeatureNotSupported as error:
                if not own_session.is_stale(error):
                    raise
                connection.close()  # the pool opens another one, which has kept nothing
                raise psycopg.OperationalError(str(error)) from error
            self._away = False

    def _note_away(self, _: ConnectionPool[Sync]) -> None:
        self._away = True


class ApiDatabase:
    """The API's pool: in each transaction one owner's rows, by the role `docmill_api`.

    A transaction reads, or it commits under a name that `failpoint.py` knows, as the workers' do.
    It is a block, which begins and ends it, or one statement, which is one by itself.
    """

    def __init__(self, address: str, *, connections: int = 10) -> None:
        self.address = address
        self._away = False
        self._pool: AsyncConnectionPool[Async] = AsyncConnectionPool(
            impatient(address),
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": None,
                "connect_timeout": CONNECT_SECONDS,
                "application_name": "docmill api",
            },
            min_size=1,
            max_size=connections,
            reconnect_timeout=GIVE_UP_CONNECTING_SECONDS,
            reconnect_failed=self._note_away,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting. A database that is away now is waited for by each request."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    def pool_stats(self) -> dict[str, int]:
        """How the pool does, as psycopg_pool counts it."""
        return self._pool.get_stats()

    @asynccontextmanager
    async def reading(self, owner: UUID | None) -> AsyncIterator[Async]:
        """One transaction that only reads: this owner's rows, or with None only the service's.

        All of its statements see one moment. Otherwise a search could find a passage, and not its
        text any more: a new generation had taken its place in between.
        """
        async with self._connection() as connection:
            await _only_read(connection)
            async with connection.transaction():
                if owner is not None:
                    await _act_for(connection, owner)
                yield connection

    @asynccontextmanager
    async def reading_at_once(self, owner: UUID) -> AsyncIterator["AtOnce"]:
        """As `reading`, in as few ways to the server and back as there are questions."""
        async with self._connection() as connection:
            yield AtOnce(connection, owner)

    @asynccontextmanager
    async def commit(self, owner: UUID, name: ApiCommit) -> AsyncIterator[Async]:
        """One transaction that sees and writes this owner's rows, committed at the end."""
        async with self._connection() as connection:
            await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)
            await connection.set_read_only(False)
            async with connection.transaction():
                await _act_for(connection, owner)
                yield connection
                failpoint.reach(name, "before")
        failpoint.reach(name, "after")

    async def asked(self, statement: bytes, parameters: Mapping[str, Any]) -> list[Row]:
        """The rows of one statement that reads, in one way to the server and back.

        It calls a function that is told who asks, and is `stable`: the server refuses it to write.
        """
        async with self._connection() as connection:
            return await every(connection, statement, parameters)

    async def committed(
        self, name: ApiCommit, statement: bytes, parameters: Mapping[str, Any]
    ) -> list[Row]:
        """The rows of one statement that writes, once it is committed, in as short a way.

        It calls a function that is told for whom it writes.
        """
        with failpoint.around(name):
            return await self.asked(statement, parameters)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Async]:
        wait = AWAY_WAIT_SECONDS if self._away else POOL_WAIT_SECONDS
        async with self._pool.connection(wait) as connection:
            try:
                yield connection
            except psycopg.OperationalError:
                self._away = connection.broken
                raise
            except TOO_SLOW as error:
                raise psycopg.OperationalError(str(error)) from error
            self._away = False

    def _note_away(self, _: AsyncConnectionPool[Async]) -> None:
        self._away = True


class AtOnce:
    """A transaction that only reads, several statements in each message.

    Its begin and who asks are sent with the first, and its end with the last. PostgreSQL takes more
    than one statement only without values beside them: the driver writes the values into them.
    """

    def __init__(self, connection: Async, owner: UUID) -> None:
        self._connection = connection
        self._claims = _claims(owner)
        self._begun = False

    async def ask(
        self, statements: Sequence[bytes], parameters: Mapping[str, Any], *, last: bool = False
    ) -> list[list[Row]]:
        """The rows of each statement; all take their values by the same names, and end with `;`."""
        before = () if self._begun else BEGIN_READING
        self._begun = True
        message = b"\n".join([*before, *statements, *([b"commit;"] if last else [])])
        async with AsyncClientCursor(self._connection) as cursor:
            await cursor.execute(message, {**parameters, "claims": self._claims})
            answers = [
                await answer.fetchall() async for answer in cursor.results() if _rows(answer)
            ]
        return answers[len(answers) - len(statements) :]


def _rows(answer: AsyncCursor[Row]) -> bool:
    """Whether it is the answer of a statement that gives rows, though they may be none."""
    return answer.description is not None


async def _only_read(connection: Async) -> None:
    """Let the next transactions only read, and see one moment."""
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(True)


async def _act_for(connection: Async, owner: UUID) -> None:
    """Be this owner until the transaction ends, by the claim that row-level security reads."""
    await connection.execute(ACT_FOR, {"claims": _claims(owner)})


def _claims(owner: UUID) -> str:
    return json.dumps({"sub": str(owner)})


async def one(connection: Async, statement: bytes, parameters: Mapping[str, Any]) -> Row | None:
    """The first row of an answer."""
    cursor = await connection.execute(statement, parameters)
    return await cursor.fetchone()


async def every(
    connection: Async, statement: bytes, parameters: Mapping[str, Any] | None = None
) -> list[Row]:
    """All rows of an answer."""
    cursor = await connection.execute(statement, parameters)
    return await cursor.fetchall()
