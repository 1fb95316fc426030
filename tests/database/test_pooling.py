"""What stands between docmill and PostgreSQL is found out, not configured."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from docmill.database import Addresses
from docmill.pooling import DIRECT, Way, find_way
from pooler import pooler


def test_direct_connection_is_seen_as_one(addresses: Addresses) -> None:
    assert find_way(addresses.worker) == DIRECT


@pytest.mark.parametrize(("mode", "own_session"), [("transaction", False), ("session", True)])
def test_pooler_is_seen_and_whether_it_leaves_a_session(
    admin_url: str, addresses: Addresses, mode: str, own_session: bool
) -> None:
    with pooler(admin_url, mode=mode) as pooled:
        expected = Way(pooled=True, own_session=own_session)
        assert find_way(pooled(addresses.worker)) == expected


def test_the_only_session_of_a_pooler_is_seen_as_shared(
    admin_url: str, addresses: Addresses
) -> None:
    with pooler(admin_url, connections=1) as pooled:
        assert not find_way(pooled(addresses.api)).own_session


def test_pooler_asks_for_passwords(admin_url: str, addresses: Addresses) -> None:
    """Else the tests behind it would prove less than they say."""
    with pooler(admin_url) as pooled, pytest.raises(psycopg.OperationalError):
        find_way(make_conninfo(pooled(addresses.worker), password="wrong"))
