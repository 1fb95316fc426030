"""A worker as a child process of a server: how it is started, and how it ended, in words."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence

from docmill.database import Addresses
from docmill.zygote import Program, Zygote

# libpq looks for a Kerberos ticket before it connects, which ends a forked process of macOS
# (PostgreSQL's bug 16041, psycopg's issue 1136).
SAFE_IN_A_FORK = {"PGGSSENCMODE": "disable"} if sys.platform == "darwin" else {}


def worker_zygote(addresses: Addresses, shared: Mapping[str, int], *, nicer: int) -> Zygote:
    """Where the workers of a server come from.

    `shared` are descriptors that they inherit, by the options that tell them. `nicer`: by how much
    their niceness is above ours.
    """
    options = [f"{option}={descriptor}" for option, descriptor in shared.items()]
    program = Program(
        "workers",
        command("--forked", *options),
        # A fork takes only one thread along, so libraries start none of theirs.
        SAFE_IN_A_FORK | environment(addresses) | {"OPENBLAS_NUM_THREADS": "1"},
        inherits=tuple(shared.values()),
    )
    return Zygote(program, nicer=nicer)


def command(*arguments: str) -> Sequence[str]:
    """The command of a worker that drains when the server at the other end of its stdin is gone."""
    return (sys.executable, "-m", "docmill", "worker", "--end-with-stdin", *arguments)


def environment(addresses: Addresses) -> dict[str, str]:
    """Ours, without the admin's address: a worker gets the login that workers have.

    Nor with a port, of which there is one and of workers there may be many.
    """
    ours = {**os.environ, "DOCMILL_WORKER_DATABASE_URL": addresses.worker}
    for name in ("DOCMILL_DATABASE_URL", "DOCMILL_METRICS_PORT"):
        ours.pop(name, None)
    return ours


def how_it_ended(returncode: int) -> str:
    """An exit status in words."""
    if returncode < 0:
        return f"signal {-returncode}, {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"
