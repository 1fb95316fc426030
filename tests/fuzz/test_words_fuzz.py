"""What becomes of any text: words, passages, and what PostgreSQL reads of them."""

from collections import defaultdict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from docmill import lexical, tsvectors
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
LITERALS = "select %(any)s::tsquery, %(phrase)s::tsquery"
KEPT = """select w.lexeme, w.positions
          from unnest(%b::tsvector[]) as given (words), unnest(given.words) as w"""


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
        "any": lexical.tsquery_any(text),
        "phrase": lexical.tsquery_phrase(text),
    }

    assert worker_connection.execute(LITERALS, literals).fetchone()


@given(text=texts)
@example("a " * 300)
@example("a b " * 10_000)
@example(" ".join(map(str, range(20_000))))
def test_postgresql_keeps_each_word_with_its_places(worker_connection: Sync, text: str) -> None:
    expected = defaultdict(list)
    for place, word in enumerate(lexical.words(text), start=1):
        expected[word].append(min(place, tsvectors.LAST_PLACE))

    kept = worker_connection.execute(KEPT, [[tsvectors.tsvector(text)]]).fetchall()

    assert {row["lexeme"]: row["positions"] for row in kept} == {
        word: sorted(set(places))[: tsvectors.MOST_PLACES] for word, places in expected.items()
    }


@pytest.mark.parametrize(
    "text", ["naïve Café — ÅNGSTRÖM", "x" * 100 + " é", "\ufb01le \u2163 ß", "Δδ, Жж", "a\x1cb é"]
)
def test_a_text_without_unspaced_scripts_has_the_words_that_it_has_beside_one(text: str) -> None:
    *beside, last = lexical.words(f"{text} 漢")

    assert last == "漢"
    assert lexical.words(text) == beside
