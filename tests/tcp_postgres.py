"""A PostgreSQL as others run theirs: on TCP, with rules of access of its own, of any version.

It ends with the process that started it, however that ends, as docmill's embedded one does.
"""

import contextlib
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from docmill import embedded_postgres
from docmill.embedded_postgres import GUARDED
from docmill.postgres_account import Account, account_for, make_private
from running import until

EMBEDDED = embedded_postgres.binary("postgres").parent
PASSWORD = "kept by tests alone"
EVERYBODY_BY_PASSWORD = "local all all scram-sha-256\nhost all all all scram-sha-256\n"
SETTINGS = {"fsync": "off", "max_connections": "200", "log_min_messages": "fatal", "jit": "off"}


@dataclass(frozen=True, slots=True)
class TcpPostgres:
    """A running server: where it listens, and its folder, in which its socket lies too."""

    host: str
    port: int
    folder: Path
    superuser: str

    def address(self, host: str | None = None, **parts: str) -> str:
        """The superuser's address by TCP, or with parts of it changed."""
        whole = {
            "host": host or self.host,
            "port": str(self.port),
            "user": self.superuser,
            "password": PASSWORD,
            "dbname": "postgres",
            **parts,
        }
        return make_conninfo("", **whole)

    @property
    def by_socket(self) -> str:
        """The superuser's address for who is on the same machine, whatever network it is in."""
        return self.address(str(self.folder / "socket"))


def free_port() -> int:
    """A port that nobody listens on, outside of the range that connections take theirs from.

    So none takes it until a server starts there.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def tcp_postgres(
    *,
    binaries: Path = EMBEDDED,
    listen: str = "127.0.0.1",
    superuser: str = "postgres",
    access: str = EVERYBODY_BY_PASSWORD,
    files: Mapping[str, bytes] | None = None,
    settings: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> Iterator[TcpPostgres]:
    """A server with an empty cluster, for the length of a block.

    Args:
        binaries: the folder with `postgres` and `initdb`.
        listen: the address that it listens on.
        superuser: the name of who may do everything.
        access: its pg_hba.conf.
        files: further files beside it, such as a certificate; names are relative to its data.
        settings: of the server, beyond what all tests share.
        within: a command to start it in, such as another network's.
    """
    folder = Path(tempfile.mkdtemp(prefix="docmill-tcp-"))
    data, port = folder / "data", free_port()
    account = account_for(folder, data, binaries / "postgres")
    try:
        make_private(data, account)
        make_private(folder / "socket", account)
        _initialise(binaries, account, data, superuser)
        for name, content in {"pg_hba.conf": access.encode(), **(files or {})}.items():
            _write(data / name, content, account)
        given = {
            **SETTINGS,
            "listen_addresses": listen,
            "port": str(port),
            "unix_socket_directories": str(folder / "socket"),
            **(settings or {}),
        }
        flags = [f"--{name}={value}" for name, value in given.items()]
        server = [*within, *account.prefix, str(binaries / "postgres"), "-D", str(data), *flags]
        with (folder / "log").open("wb") as log:
            guard = subprocess.Popen(
                [*GUARDED, *server], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/"
            )
        with guard:
            until(lambda: _is_ready(data, guard, folder / "log"), "PostgreSQL is ready")
            yield TcpPostgres(listen, port, folder, superuser)
            assert guard.stdin is not None
            guard.stdin.close()
    finally:
        shutil.rmtree(folder)


def _initialise(binaries: Path, account: Account, data: Path, superuser: str) -> None:
    words = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
    pwfile = data.parent / "password"
    _write(pwfile, PASSWORD.encode(), account)
    subprocess.run(
        [
            *account.prefix,
            binaries / "initdb",
            f"--pgdata={data}",
            f"--username={superuser}",
            f"--pwfile={pwfile}",
            *words,
        ],
        check=True,
        capture_output=True,
        cwd="/",
    )


def _write(path: Path, content: bytes, account: Account) -> None:
    with path.open("wb") as file:
        file.write(content)
        account.own(file.fileno())
    path.chmod(0o600)


def _is_ready(data: Path, guard: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert guard.poll() is None, log.read_text()
    with contextlib.suppress(FileNotFoundError, IndexError):  # not there yet, or empty yet
        lines = (data / "postmaster.pid").read_text().splitlines()
        return lines[-1].strip() == "ready"
    return False
