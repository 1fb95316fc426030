"""`docmill doctor`: what is configured, what is reachable, what is wrong and how to mend it."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from docmill import embed, migrate
from docmill.config import Settings
from docmill.database import Addresses, Statements, connect
from docmill.errors import Failure, Unavailable
from docmill.parse_process import confinement

WORKERS = Statements("workers")
SAMPLE = "docmill doctor"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` says what to do where it is not all right."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(settings: Settings, addresses: Addresses) -> Iterator[Finding]:
    """Look at everything docmill needs, in the order in which it needs it."""
    yield _checked("database (API role)", lambda: _database(addresses.api))
    yield _checked("database (worker role)", lambda: _database(addresses.worker))
    yield _checked("schema", lambda: _schema(addresses.worker))
    yield confined(confinement(), sys.platform)
    yield _checked("embedder", lambda: _embedder(settings))
    yield _checked("workers", lambda: _workers(addresses.worker, settings))


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


def _checked(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, ok=True, detail=look())
    except (Unavailable, Failure) as error:
        return Finding(what, ok=False, detail=str(error))
    except psycopg.Error as error:
        return Finding(
            what,
            ok=False,
            detail=str(error).strip(),
            remedy="Check DOCMILL_DATABASE_URL, and that `docmill migrate` has run.",
        )


def _database(address: str) -> str:
    with connect(address) as connection:
        row = connection.execute(
            "select current_user as role, current_setting('server_version') as version,"
            " (select extversion from pg_extension where extname = 'vector') as vector"
        ).fetchone()
    if row is None or row["vector"] is None:
        raise Unavailable("The extension `vector` is missing. Run `docmill migrate`.")
    return f"{row['role']} on PostgreSQL {row['version']}, pgvector {row['vector']}"


def _schema(address: str) -> str:
    with connect(address) as connection:
        if reason := migrate.why_unfit(connection):
            raise Unavailable(reason)
        return f"version {migrate.applied_version(connection)}"


def _embedder(settings: Settings) -> str:
    embedder = embed.create_embedder(settings)
    try:
        vectors = embedder.embed([SAMPLE])
    finally:
        embedder.close()
    return f"{embedder.name} answers with {vectors.shape[1]} dimensions"


def _workers(address: str, settings: Settings) -> str:
    with connect(address) as connection:
        row = connection.execute(WORKERS.live, {"lease": settings.lease_seconds}).fetchone()
    if not row or not row["live"]:
        raise Unavailable(
            "No worker is running; documents wait until one does. Start `docmill serve` or"
            " `docmill worker`."
        )
    return f"{row['live']} live"
