"""Workers on machines of their own (`make machines` has them work on many more documents)."""

import subprocess
import sys
from subprocess import PIPE

import pytest
from psycopg.conninfo import conninfo_to_dict

from docmill import database
from machines.network import Network, why_impossible
from machines.world import CUT_OFF, HEALTHY, WRONG_CLOCK, suffer, world
from running import PATIENCE_SECONDS
from tcp_postgres import tcp_postgres
from wrong_clock import FAKETIME

DOCUMENTS = 40


def test_every_document_ends_once_though_machines_are_cut_off_lose_power_and_mistake_the_time() -> (
    None
):
    if reason := why_impossible():
        pytest.skip(reason)
    with world() as started:
        report = suffer(started, DOCUMENTS)
    assert report.violations == []
    assert report.attempts["lease_expired"] >= 2
    for machine in (CUT_OFF, WRONG_CLOCK, HEALTHY):
        assert report.succeeded[f"machine-{machine}"] > 0
    assert FAKETIME is not None, "its clock was right (Debian and Ubuntu: apt install faketime)"


WAITER = """
import sys
from docmill import database
with database.connect(sys.argv[1]) as connection:
    print("connected", flush=True)
    connection.execute("select pg_sleep(600)")
"""


def test_who_waits_for_a_server_that_vanished_is_told_within_half_a_minute() -> None:
    if reason := why_impossible():
        pytest.skip(reason)
    with Network() as network, tcp_postgres(listen=network.hub, within=network.on_hub()) as server:
        command = [*network.plug(1), sys.executable, "-c", WAITER, server.address()]
        with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as waiter:
            assert waiter.stdout is not None
            assert waiter.stdout.readline() == "connected\n"
            network.cut(1)
            _, said = waiter.communicate(timeout=PATIENCE_SECONDS)
        assert "OperationalError" in said


def test_address_may_say_otherwise_how_long_a_silent_server_is_waited_for() -> None:
    address = database.impatient("host=db dbname=docmill keepalives_idle=300 sslmode=verify-full")
    parts = conninfo_to_dict(address)
    assert (parts["keepalives_idle"], parts["sslmode"]) == ("300", "verify-full")
    assert parts["tcp_user_timeout"] == str(database.GIVE_UP_VANISHED["tcp_user_timeout"])
