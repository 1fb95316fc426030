"""Workers keep plans where a session is theirs alone, and lose nothing when one no longer fits."""

import psycopg
import pytest

from docmill.database import Addresses, Sync, WorkerDatabase
from docmill.own_session import PREPARE_AFTER
from pooler import pooler

KEPT = "select count(*)::int as n from pg_prepared_statements"


def kept_by(database: WorkerDatabase) -> int:
    """How many statements a session has prepared after one was asked for again and again."""
    with database.reading() as connection:
        for _ in range(PREPARE_AFTER + 2):
            connection.execute("select id from processing_jobs where id = %s", [1])
        row = connection.execute(KEPT, prepare=False).fetchone()
        assert row is not None
        return int(row["n"])


def test_session_of_its_own_keeps_plans(addresses: Addresses) -> None:
    database = WorkerDatabase(addresses.worker, connections=1)
    assert kept_by(database) == 1
    database.close()


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_session_behind_a_pooler_keeps_none(
    admin_url: str, addresses: Addresses, mode: str
) -> None:
    with pooler(admin_url, mode=mode) as pooled:
        database = WorkerDatabase(pooled(addresses.worker), connections=1)
        assert kept_by(database) == 0
        database.close()


def test_plan_that_no_longer_fits_is_a_lost_connection_and_the_next_one_does(
    addresses: Addresses, admin: Sync
) -> None:
    database = WorkerDatabase(addresses.worker, connections=1)

    def asked() -> list[str]:
        with database.reading() as connection:
            cursor = connection.execute("select * from last_tick where at > %s", ["now"])
            return [column.name for column in cursor.description or []]

    (before,) = {tuple(asked()) for _ in range(PREPARE_AFTER + 2)}
    admin.execute("alter table last_tick add column more int")
    try:
        with pytest.raises(psycopg.OperationalError):
            asked()
        assert asked() == [*before, "more"]
    finally:
        admin.execute("alter table last_tick drop column more")
        database.close()
