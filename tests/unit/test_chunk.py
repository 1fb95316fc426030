"""Passages: exact offsets, pages, heading paths and limits, whatever the text."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docmill.chunk import (
    LONGEST_HEADING,
    PAGE_SEPARATOR,
    WINDOW_CHARACTERS,
    ChunkSizing,
    ChunkState,
    chunk_window,
    heading_paths,
    windows,
)
from docmill.model import Chunk, Page

texts = st.lists(
    st.text(alphabet="ab c.\n#`-=é漢\U0001f600\u00a0\t", max_size=400)
    | st.just("# Title\n\ntext\n\n## Below\n\nmore " * 20),
    min_size=1,
    max_size=6,
)


def chunked(pages: Sequence[Page], sizing: ChunkSizing) -> list[Chunk]:
    """Every passage, window by window, the state carried as JSON as between two processes."""
    chunks, state = [], ChunkState()
    for window in windows(pages):
        found, state = chunk_window(window, ChunkState.from_json(state.as_json()), sizing)
        chunks += found
    return chunks


def pages_of(texts: Sequence[str]) -> list[Page]:
    return [Page(number, text) for number, text in enumerate(texts, start=1)]


@given(texts, st.integers(20, 200))
def test_offsets_give_the_text_and_the_pages(texts: list[str], size: int) -> None:
    text = PAGE_SEPARATOR.join(texts)
    starts = [len(PAGE_SEPARATOR.join(texts[:n])) + 2 * (n > 0) for n in range(len(texts))]
    last_end = 0
    for ordinal, chunk in enumerate(chunked(pages_of(texts), ChunkSizing(size))):
        assert chunk.ordinal == ordinal
        assert text[chunk.char_start : chunk.char_end] == chunk.text
        assert len(chunk.text) <= size
        assert chunk.char_start >= last_end
        assert starts[chunk.page_first - 1] <= chunk.char_start
        assert starts[chunk.page_last - 1] < chunk.char_end
        last_end = chunk.char_end


@given(texts, st.integers(20, 200))
def test_every_visible_character_is_in_a_passage(texts: list[str], size: int) -> None:
    whole = "".join(PAGE_SEPARATOR.join(texts).split())
    kept = "".join(
        "".join(chunk.text.split()) for chunk in chunked(pages_of(texts), ChunkSizing(size))
    )
    assert kept == whole


@given(texts, st.integers(20, 200))
def test_no_passage_is_over_the_limit_in_bytes(texts: list[str], limit: int) -> None:
    for chunk in chunked(pages_of(texts), ChunkSizing(1000, max_bytes=limit)):
        assert len(chunk.text.encode()) <= limit


def test_a_passage_knows_the_headings_it_stands_under() -> None:
    text = "# One\n\nfirst\n\n## Two\n\nsecond\n\nThree\n=====\n\n```\n# no heading\n```\n\nlast"
    chunks = chunked(pages_of([text]), ChunkSizing(20))
    paths = {chunk.text.split("\n")[-1]: chunk.headings for chunk in chunks}
    assert paths["second"] == ("One", "Two")
    assert paths["last"] == ("Three",)


@given(texts, st.integers(1, 300))
def test_windows_are_bounded_and_hold_every_page_in_order(texts: list[str], limit: int) -> None:
    cut = list(windows(pages_of(texts), limit=limit))
    held = "".join(piece.text + "|" * piece.ends_page for window in cut for piece in window)
    assert held == "".join(text + "|" for text in texts)
    assert all(sum(len(piece.text) for piece in window) <= limit for window in cut)


@given(texts, st.integers(100, 400), st.integers(20, 100))
def test_whoever_goes_on_behind_any_window_cuts_alike(
    texts: list[str], limit: int, size: int
) -> None:
    pages, sizing = pages_of(texts), ChunkSizing(size)
    whole, state = [], ChunkState()
    states = [state]
    for window in windows(pages, limit=limit):
        found, state = chunk_window(window, state, sizing)
        whole += found
        states.append(state)
    for begun in states:
        rest, state = [], ChunkState.from_json(json.loads(json.dumps(begun.as_json())))
        left = [page for page in pages if page.number > state.page]
        for window in windows(left, state.skip, limit):
            found, state = chunk_window(window, state, sizing)
            rest += found
        assert rest == whole[begun.next_ordinal :]


def test_long_page_is_cut_where_a_paragraph_ends() -> None:
    paragraph = "word " * 30 + "\n\n"
    page = Page(1, paragraph * (3 * WINDOW_CHARACTERS // len(paragraph)))
    cut = list(windows([page]))
    assert len(cut) > 2
    assert all(window[0].text.endswith("\n\n") for window in cut)


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("# Tides", "Tides"),
        ("  ###\tTides \t##  ", "Tides"),
        ("# C#", "C#"),
        ("# #", ""),
        ("# # ##", "#"),
        ("# ", ""),
        ("# a" + " " * 100_000 + "b", "a" + " " * (LONGEST_HEADING - 1)),
        ("# " + "# " * 50_000 + "b", "# " * (LONGEST_HEADING // 2)),
    ],
)
def test_title_loses_what_closes_it_however_long_the_line(line: str, title: str) -> None:
    assert [title for _, title in heading_paths(line, ())[-1][1]] == [title]


@pytest.mark.parametrize(
    "text", ["漢" * 300_000, "no end " * 50_000, "[" * 300_000, "👨\u200d" * 90_000]
)
def test_line_without_end_is_cut_and_loses_nothing(text: str) -> None:
    chunks = chunked(pages_of([text]), ChunkSizing())
    assert "".join(chunk.text for chunk in chunks).replace(" ", "") == text.replace(" ", "")
    assert all(text[chunk.char_start : chunk.char_end] == chunk.text for chunk in chunks)
