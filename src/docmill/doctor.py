"""`docmill doctor`: what is configured, what is reachable, what is wrong and how to mend it."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import psycopg

from docmill import embed, migrate, upkeep
from docmill.config import Settings, variable
from docmill.database import Addresses, Statements, Sync, connect
from docmill.database_trouble import explain
from docmill.errors import Failure, Unavailable
from docmill.parse_process import confinement
from docmill.pooling import Way, find_way

DOCTOR = Statements("doctor")
WORKERS = Statements("workers")
SAMPLE = "docmill doctor"
UPKEEP: dict[str, Callable[[Sync], list[str]]] = {
    "dead rows": upkeep.dead_rows,
    "what holds vacuum up": upkeep.holders,
    "size of indexes": upkeep.fat_indexes,
    "transaction ids": upkeep.worn_out_ids,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` says what to do where it is not all right."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(settings: Settings, addresses: Addresses) -> Iterator[Finding]:
    """Look at everything docmill needs, in the order in which it needs it."""
    yield from _database(settings, addresses)
    yield confined(confinement(), sys.platform)
    yield _checked("embedder", lambda: _embedder(settings))


# the database ----------------------------------------------------------------------------


def _database(settings: Settings, addresses: Addresses) -> Iterator[Finding]:
    """The server first: where it can't be reached, the rest would only say so again."""
    first = addresses.admin or addresses.worker
    by = variable("database_url" if addresses.admin else "worker_database_url")
    server = _checked("database", lambda: _server(first), by)
    yield server
    if not server.ok:
        return
    schema = _checked("schema", lambda: _schema(first), by)
    yield schema
    roles = (
        ("API role", addresses.api, "api_database_url"),
        ("worker role", addresses.worker, "worker_database_url"),
    )
    for what, address, name in roles:
        by = variable(name if getattr(settings, name) else "database_url")
        yield _checked(what, partial(_role, address, settings), by)
    if schema.ok:
        yield _checked("workers", lambda: _workers(addresses.worker, settings), by)
        # The admin sees everybody's sessions; a login role sees its own only.
        for what, look in UPKEEP.items():
            yield _checked(what, partial(_upkeep, first, look), by)


def _server(address: str) -> str:
    with connect(address) as connection:
        row = connection.execute(DOCTOR.vector).fetchone() or {}
        version = connection.info.server_version
        if version // 10_000 < migrate.OLDEST_POSTGRES:
            raise Unavailable(migrate.too_old(version))
        if row["installed"] is None and row["available"] is None:
            trouble = explain(psycopg.Error('extension "vector" is not available'))
            raise Unavailable(f"{trouble.what[0].upper()}{trouble.what[1:]}. {trouble.remedy}")
        vector = row["installed"] or row["available"]
        if reason := migrate.vector_unfitness(vector):
            raise Unavailable(reason)
        return (
            f"PostgreSQL {connection.info.parameter_status('server_version')} with pgvector"
            f" {vector}, {_reached(connection)}."
        )


def _reached(connection: Sync) -> str:
    if connection.info.host.startswith("/"):
        return "reached by its socket"
    return "over TLS" if connection.pgconn.ssl_in_use else "over TCP without TLS"


def _schema(address: str) -> str:
    with connect(address) as connection:
        if reason := migrate.why_unfit(connection):
            raise Unavailable(reason)
        return f"Version {migrate.applied_version(connection)}, as this docmill needs it."


def _role(address: str, settings: Settings) -> str:
    with connect(address) as connection:
        row = connection.execute(DOCTOR.who).fetchone() or {}
        missing = [found["table"] for found in connection.execute(DOCTOR.missing_grants)]
    if row["is_above_rules"]:
        raise Unavailable(
            f"{row['role']} passes over row-level security, so one owner could see what another one"
            " has. Let docmill log in as docmill_api and docmill_worker; `docmill migrate` makes"
            " them."
        )
    if missing:
        raise Unavailable(
            f"{row['role']} may do nothing with {', '.join(missing)}, and needs to. Its grants were"
            " lost, as by a restore without them: restore again with them."
        )
    return f"{row['role']} logs in {_way_in_words(find_way(address), settings)}"


def _way_in_words(way: Way, settings: Settings) -> str:
    if not way.pooled:
        return "to the server itself."
    if way.own_session:
        return "through a pooler that leaves it a session of its own."
    return (
        "through a transaction pooler. Nobody can tell workers of new work there; they look for it"
        f" every {settings.poll_seconds:g} s ({variable('poll_seconds')}). Nothing else is missed."
    )


def _workers(address: str, settings: Settings) -> str:
    with connect(address) as connection:
        row = connection.execute(WORKERS.live, {"lease": settings.lease_seconds}).fetchone()
    if not row or not row["live"]:
        raise Unavailable(
            "None is running; documents wait until one does. Start `docmill serve` or"
            " `docmill worker`."
        )
    return "One is live." if row["live"] == 1 else f"{row['live']} are live."


def _upkeep(address: str, look: Callable[[Sync], list[str]]) -> str:
    with connect(address) as connection:
        if found := look(connection):
            raise Unavailable(" ".join(found))
    return "Nothing to do."


# the rest --------------------------------------------------------------------------------


def confined(taken: dict[str, str], system: str) -> Finding:
    """What a parser that a hostile file has taken over could not use, and what it could.

    Only Linux can mend what is missing: elsewhere there is nothing to be had.
    """
    means = ", ".join(f"{what} ({means})" for what, means in taken.items() if means)
    left = " and ".join(what for what, means in taken.items() if not means)
    said = [f"taken away: {means}." if means else "", f"left: {left}." if left else ""]
    return Finding(
        "parser confinement",
        ok=not left or system != "linux",
        detail=" ".join(filter(None, said)),
        remedy="Run on Linux 5.13 or later with Landlock and seccomp." if left else "",
    )


def _embedder(settings: Settings) -> str:
    embedder = embed.create_embedder(settings)
    try:
        vectors = embedder.embed([SAMPLE])
    finally:
        embedder.close()
    return f"{embedder.name} answers with {vectors.shape[1]} dimensions."


def _checked(what: str, look: Callable[[], str], by: str = "") -> Finding:
    """What was seen; `by` is the setting that an address came from."""
    try:
        return Finding(what, ok=True, detail=look())
    except (Unavailable, Failure) as error:
        return Finding(what, ok=False, detail=str(error))
    except psycopg.Error as error:
        trouble = explain(error, by)
        detail = f"{trouble.what[0].upper()}{trouble.what[1:]}."
        return Finding(what, ok=False, detail=detail, remedy=trouble.remedy)
