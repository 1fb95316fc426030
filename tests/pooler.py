"""PgBouncer in transaction mode: many clients take turns on few connections of the database."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from docmill import database
from docmill.postgres_account import account_for
from running import until
from tcp_postgres import free_port

CONNECTIONS = 2
LOGINS = (database.API_ROLE, database.WORKER_ROLE)
CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {connections}
max_client_conn = 500
server_reset_query =
logfile = {folder}/log
pidfile =
"""


@contextlib.contextmanager
def pooler(
    admin_url: str, *, mode: str = "transaction", connections: int = CONNECTIONS
) -> Iterator[Callable[[str], str]]:
    """A started PgBouncer in front of a server; says where it has what an address leads to.

    It knows the passwords of the admin and of docmill's login roles, and asks for them.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no PgBouncer (Debian and Ubuntu: apt install pgbouncer)")
    server = conninfo_to_dict(admin_url)
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="docmill-pooler-"))
    folder.chmod(0o777)  # it refuses to run as root
    known = [admin_url, *(database.login_address(admin_url, role) for role in LOGINS)]
    users = [conninfo_to_dict(address) for address in known]
    (folder / "users").write_text(
        "".join(f'"{user["user"]}" "{user["password"]}"\n' for user in users)
    )
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            host=server["host"],
            port=server["port"],
            listen=port,
            mode=mode,
            connections=connections,
            folder=folder,
        )
    )
    # As whoever runs the server: that user can reach its socket.
    data = Path(str(server["host"])).parent if str(server["host"]).startswith("/") else folder
    user = account_for(data, data, Path(program)) if os.geteuid() == 0 else None
    command = [*(user.prefix if user else ()), program, "-q", str(configuration)]
    with subprocess.Popen(command) as process:
        try:
            until(lambda: is_open(port), "PgBouncer listens")
            yield lambda address: make_conninfo(
                address, host="127.0.0.1", port=port, sslmode="disable"
            )
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(folder)


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
