"""Whether a pooler stands between us and PostgreSQL, and whether a session is ours behind it.

Behind a transaction pooler each transaction may meet another session of the server. docmill's SQL
needs none of its own; only LISTEN does, and who looks whether a silent worker's session has ended.
Nobody has to configure that: it is found out by looking.
"""

from dataclasses import dataclass

from docmill.database import Sync, connect
from docmill.own_session import is_direct, session_of

# A pooler gives a session that was just let go to the next who asks. While others are busy it may
# be one of them, so it is asked again.
TRIES = 3


@dataclass(frozen=True, slots=True)
class Way:
    """How an address leads to the server: through a pooler or not, in a session of our own or not.

    Through a session pooler it is both.
    """

    pooled: bool
    own_session: bool


DIRECT = Way(pooled=False, own_session=True)


def find_way(address: str) -> Way:
    """Look how an address leads to the server.

    Raises:
        psycopg.Error: it does not.
    """
    with connect(address, autocommit=True) as connection:
        if is_direct(connection):
            return DIRECT
        shared = any(_is_shared(connection, address) for _ in range(TRIES))
        return Way(pooled=True, own_session=not shared)


def _is_shared(connection: Sync, address: str) -> bool:
    """Whether another one gets our session, or we get another one, while we do nothing in it."""
    ours = session_of(connection)
    with connect(address) as other:
        return session_of(other) == ours or session_of(connection) != ours
