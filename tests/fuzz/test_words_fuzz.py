"""What becomes of any text: words, passages, and the literals that PostgreSQL reads."""

from hypothesis import given
from hypothesis import strategies as st

from docmill import lexical
from docmill.chunk import PAGE_SEPARATOR, ChunkSizing, ChunkState, chunk_window, windows
from docmill.database import Sync
from docmill.model import Page

PIECES = [
    *("# ", "## ", "\n", "\n\n", "```\n", "~~~", "> ", "- ", "1. ", "|", "|-|\n", "---\n", "==="),
    *("[", "](", ")", "<", ">", "&", "*", "**", "_", "`", "\\", "\t", " ", "    ", "\u00a0"),
    *("\r", "word", "漢字", "e\u0301", "👩\u200d🚀", "\u2028", "\x0b", "x" * 50, " " * 50, "#" * 9),
]
markdown = st.lists(st.sampled_from(PIECES), max_size=80).map("".join)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)
LITERALS = "select %(vector)s::tsvector as vector, %(any)s::tsquery, %(phrase)s::tsquery"


@given(texts | markdown, st.integers(10, 300), st.integers(10, 300) | st.none())
def test_passages_are_pieces_of_the_text_and_leave_nothing_out(
    text: str, size: int, limit: int | None
) -> None:
    pages = [Page(1, text), Page(2, text[::-1])]
    whole = PAGE_SEPARATOR.join(page.text for page in pages)

    (window,) = windows(pages)
    chunks, state = chunk_window(window, ChunkState(), ChunkSizing(size, limit))

    assert all(whole[chunk.char_start : chunk.char_end] == chunk.text for chunk in chunks)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(whole.split())
    assert state == ChunkState.from_json(state.as_json())


@given(texts)
def test_words_hold_nothing_that_means_something_in_a_literal(text: str) -> None:
    found = lexical.words(text)

    assert all(word and len(word) <= lexical.LONGEST_WORD for word in found)
    assert not set("".join(found)) & set("'\\ :,&|!()<>\n\t")


@given(text=texts)
def test_postgresql_reads_every_literal(worker_connection: Sync, text: str) -> None:
    literals = {
        "vector": lexical.tsvector(text),
        "any": lexical.tsquery_any(text),
        "phrase": lexical.tsquery_phrase(text),
    }

    row = worker_connection.execute(LITERALS, literals).fetchone()

    assert row is not None
    assert bool(row["vector"]) == bool(lexical.words(text))
