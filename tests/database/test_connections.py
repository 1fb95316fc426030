"""What happens to whoever stands still in the middle of a transaction."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from docmill.database import Addresses, Sync, WorkerDatabase, connect
from running import until

LIMITS = {"idle_in_transaction_session_timeout": "30s", "transaction_timeout": "5min"}


@pytest.mark.parametrize("role", ["api", "worker"])
def test_the_server_ends_what_stands_still_in_mid_transaction(
    addresses: Addresses, role: str
) -> None:
    with connect(getattr(addresses, role)) as connection:
        for limit, value in LIMITS.items():
            assert connection.execute(f"show {limit}".encode()).fetchone() == {limit: value}


@pytest.mark.parametrize("limit", LIMITS)
def test_session_that_the_server_ended_is_a_lost_connection_and_no_fault_of_the_work(
    addresses: Addresses, admin: Sync, limit: str
) -> None:
    impatient = make_conninfo(addresses.worker, options=f"-c {limit}=200ms")
    database = WorkerDatabase(impatient, connections=1)
    with pytest.raises(psycopg.OperationalError):
        stand_still(database, admin)
    with database.reading() as connection:
        connection.execute("select 1")
    database.close()


def stand_still(database: WorkerDatabase, admin: Sync) -> None:
    with database.reading() as connection:
        row = connection.execute("select pg_backend_pid() as pid").fetchone() or {}
        until(lambda: is_gone(admin, row["pid"]), "the server ended the session")
        connection.execute("select 1")


def is_gone(admin: Sync, pid: int) -> bool:
    return not admin.execute("select from pg_stat_activity where pid = %s", [pid]).fetchall()
