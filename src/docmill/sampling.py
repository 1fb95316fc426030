"""The queue's history, a sample a minute: what operators see over time was true at its time.

With it counts are summed up, so that they stay few rows: of what has ended, and of each owner's
vectors.
"""

from docmill import vector_index
from docmill.database import Statements, Sync

STATEMENTS = Statements("sampling")


def sample(connection: Sync) -> None:
    """Write down how the queue stands, unless that is done for this minute; forget old samples."""
    written = connection.execute(STATEMENTS.sample)
    if written.rowcount > 0:
        connection.execute(STATEMENTS.prune)
        connection.execute(STATEMENTS.sum_tallies)
        vector_index.note_large_owners(connection)
