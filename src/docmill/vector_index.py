"""Keep the vectors of large owners in the vector index, and those of all others out of it.

An owner of few passages has all of them looked at (search.sql), and needs no index. To take a
vector into one costs more than all else that is written of a passage. So a vector goes into the
index as it comes only where its owner is known to be large (`keep_embeddings` in documents.sql);
here owners are found that have become so, and what they had before is put into the index little by
little. Search looks at all of what is not there yet, so nothing is ever missing.
"""

from docmill.database import Statements, Sync

STATEMENTS = Statements("vector_index")

# Vectors beyond which an owner is large. To look at so many takes some ten milliseconds.
FEW = 10_000
# Vectors that one commit puts into the index: a tenth of a second.
SOME = 64


def name_of(model_id: int) -> str:
    """The name of a model's vector index. `docmill migrate` makes it."""
    return f"vectors_of_model_{model_id}"


def note_large_owners(connection: Sync, few: int = FEW) -> None:
    """Find the owners that have become large: to whom more than `few` vectors have come."""
    connection.execute(STATEMENTS.note_large_owners, {"few": few})


def index_some(connection: Sync, some: int = SOME) -> int:
    """Put up to `some` vectors of large owners into the index; how many."""
    return connection.execute(STATEMENTS.index_some, {"some": some}).rowcount
