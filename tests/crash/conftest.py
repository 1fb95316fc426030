"""A database and an API that stay, and workers that are killed."""

from collections.abc import Callable, Iterator

import pytest
from psycopg.conninfo import make_conninfo

from docmill.database import Addresses
from faults import IMPATIENT
from running import Docmill, Started

LEASE_SECONDS = 2.0
QUICK = {
    "DOCMILL_LEASE_SECONDS": str(LEASE_SECONDS),
    "DOCMILL_BACKOFF_SECONDS": "0.1",
    "DOCMILL_POLL_SECONDS": "0.1",
    "DOCMILL_SLOTS": "1",
}

Workers = Callable[..., Started]


@pytest.fixture
def api(addresses: Addresses) -> Iterator[Docmill]:
    """The API alone, on the tests' database; what is uploaded waits for workers."""
    assert addresses.admin is not None
    env = {**QUICK, "DOCMILL_DATABASE_URL": addresses.admin}
    served = Docmill(None, "--workers", "0", env=env, ready=False)
    yield served
    assert served.stop() == 0


@pytest.fixture
def start_worker(addresses: Addresses) -> Iterator[Workers]:
    """Starts worker processes and, at the end, kills those that still live."""
    started: list[Started] = []

    def start(*arguments: str, **env: str) -> Started:
        where = {"DOCMILL_WORKER_DATABASE_URL": make_conninfo(addresses.worker, options=IMPATIENT)}
        started.append(Started("worker", *arguments, env={**QUICK, **where, **env}))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()
