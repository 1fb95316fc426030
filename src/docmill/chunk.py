"""Cut a document's text into passages: along its markdown structure, by size, the same every time.

Works on windows of consecutive pages, so that a document of any length needs little memory and its
progress can be committed window by window. A passage may run over a page's end, never over a
window's, and windows are cut by the text alone: whoever goes on after a crash cuts them alike.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

from semantic_text_splitter import MarkdownSplitter

from docmill.model import Chunk, Page

PAGE_SEPARATOR = "\n\n"
WINDOW_CHARACTERS = 200_000
LONGEST_UTF8 = 4  # bytes of one character

FENCE = re.compile(r" {0,3}(```+|~~~+)")
# Where a title begins and no more: a pattern for its end as well took hours for one line of spaces,
# and this runs in the worker itself, where nothing ends it.
ATX_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+")
SETEXT_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
LONGEST_HEADING = 200
# The splitter's time grows with the square of a line's length: 10 MB in one line took minutes.
LONGEST_LINE = 10_000
WORD_END_WITHIN = 1_000

Headings = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class ChunkSizing:
    """How long a passage may be.

    `max_bytes` is for an embedder with a limit in tokens whose tokenizer is not here: a token of a
    byte-level or word-piece vocabulary stands for at least one byte, so a text of so many bytes has
    at most as many tokens.
    """

    characters: int = 1000
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ChunkState:
    """What one window hands to the next: where it ended, and under which headings.

    The pages up to `page` are cut, and of the next one the first `skip` characters.
    """

    next_ordinal: int = 0
    char_offset: int = 0
    headings: Headings = ()
    page: int = 0
    skip: int = 0

    def as_json(self) -> dict[str, Any]:
        """For the checkpoint of a job."""
        return {
            "next_ordinal": self.next_ordinal,
            "char_offset": self.char_offset,
            "headings": [list(heading) for heading in self.headings],
            "page": self.page,
            "skip": self.skip,
        }

    @classmethod
    def from_json(cls, shape: dict[str, Any]) -> "ChunkState":
        """From the checkpoint of a job."""
        headings = tuple((level, text) for level, text in shape["headings"])
        return cls(**{**shape, "headings": headings})


@dataclass(frozen=True, slots=True)
class Piece:
    """A page, or a part of a long one: its text, and where in the page that ends."""

    number: int
    text: str
    end: int
    ends_page: bool


def windows(
    pages: Iterable[Page], skip: int = 0, limit: int = WINDOW_CHARACTERS
) -> Iterator[list[Piece]]:
    """Consecutive pages of at most `limit` characters together; a longer page comes in pieces.

    The time that splitting takes grows faster than the text: 7 MB in one piece took 88 seconds.
    `skip` characters of the first page are left out: earlier windows had them.
    """
    window: list[Piece] = []
    characters = 0
    for page in pages:
        for piece in pieces(page, skip, limit):
            if window and characters + len(piece.text) > limit:
                yield window
                window, characters = [], 0
            window.append(piece)
            characters += len(piece.text)
        skip = 0
    if window:
        yield window


def pieces(page: Page, start: int, limit: int) -> Iterator[Piece]:
    """A page from a character on, in pieces of at most so many."""
    while len(page.text) - start > limit:
        end = _good_cut(page.text, start, start + limit)
        yield Piece(page.number, page.text[start:end], end, ends_page=False)
        start = end
    yield Piece(page.number, page.text[start:], len(page.text), ends_page=True)


def _good_cut(text: str, start: int, limit: int) -> int:
    """Where to cut before `limit`: behind the last blank line, else line, else word, else there."""
    middle = (start + limit) // 2
    for separator in (PAGE_SEPARATOR, "\n", " "):
        found = text.rfind(separator, middle, limit)
        if found >= 0:
            return found + len(separator)
    return limit


def chunk_window(
    window: Sequence[Piece], state: ChunkState, sizing: ChunkSizing
) -> tuple[list[Chunk], ChunkState]:
    """The passages of a window, and the state for the next one.

    For every passage `document_text[char_start:char_end] == text`, where the document's text is
    its pages joined by two line feeds. White space alone is no passage.
    """
    texts = [piece.text + PAGE_SEPARATOR * piece.ends_page for piece in window]
    text = "".join(texts)
    starts = list(accumulate(map(len, texts), initial=0))[:-1]
    paths = heading_paths(text, state.headings)
    path_starts = [start for start, _ in paths]
    chunks: list[Chunk] = []
    for start, passage in _split(text, sizing):
        end = start + len(passage)
        _, path = paths[bisect_right(path_starts, start) - 1]
        chunks.append(
            Chunk(
                ordinal=state.next_ordinal + len(chunks),
                text=passage,
                page_first=window[bisect_right(starts, start) - 1].number,
                page_last=window[bisect_right(starts, end - 1) - 1].number,
                char_start=state.char_offset + start,
                char_end=state.char_offset + end,
                headings=tuple(heading for _, heading in path),
            )
        )
    last = window[-1]
    following = ChunkState(
        next_ordinal=state.next_ordinal + len(chunks),
        char_offset=state.char_offset + len(text),
        headings=paths[-1][1],
        page=last.number if last.ends_page else last.number - 1,
        skip=0 if last.ends_page else last.end,
    )
    return chunks, following


def _split(text: str, sizing: ChunkSizing) -> Iterator[tuple[int, str]]:
    splitter = _splitter(sizing)
    for block_start, block in _blocks(text):
        for start, passage in splitter.chunk_indices(block):
            # The splitter trims ASCII white space only; what is left of the rest is no passage.
            if passage.strip():
                yield block_start + start, passage


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """The text as a whole, or parted where a line is too long, with the place of each part."""
    block_start = line_start = 0
    for line in text.split("\n"):
        for at in range(LONGEST_LINE, len(line), LONGEST_LINE):
            end = _word_end(text, line_start + at)
            yield block_start, text[block_start:end]
            block_start = end
        line_start += len(line) + 1
    yield block_start, text[block_start:]


def _word_end(text: str, at: int) -> int:
    """The end of the last word before a place; the place itself in a word without end."""
    return text.rfind(" ", at - WORD_END_WITHIN, at) + 1 or at


@lru_cache(maxsize=8)
def _splitter(sizing: ChunkSizing) -> MarkdownSplitter:
    limit = sizing.max_bytes
    if limit is None or limit >= sizing.characters * LONGEST_UTF8:
        return MarkdownSplitter(sizing.characters)
    return MarkdownSplitter.from_callback(_bytes_of, min(limit, sizing.characters))


def _bytes_of(text: str) -> int:
    return len(text.encode())


def heading_paths(text: str, inherited: Headings) -> list[tuple[int, Headings]]:
    """Where each path of headings begins to hold: the one inherited at 0, then one per heading.

    Knows ATX (`## Title`) and setext (underlined) headings, and that code fences hold none.
    """
    paths: list[tuple[int, Headings]] = [(0, inherited)]
    for start, level, title in _headings(text):
        above = tuple(heading for heading in paths[-1][1] if heading[0] < level)
        paths.append((start, (*above, (level, title[:LONGEST_HEADING]))))
    return paths


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, level and title of each heading."""
    fence: str | None = None
    before, before_start, start = "", 0, 0
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        if match := FENCE.match(bare):
            fence = _fence_after(fence, match[1])
        elif fence is None:
            if match := ATX_HEADING.match(bare):
                yield start, len(match[1]), _title(bare[match.end() :])
            elif before.strip() and (match := SETEXT_UNDERLINE.match(bare)):
                yield before_start, 1 if match[1][0] == "=" else 2, before.strip()
        is_text = fence is None and not ATX_HEADING.match(bare)
        before, before_start = (bare, start) if is_text else ("", start)
        start += len(line)


def _title(line: str) -> str:
    """A heading's title without the marks that may close it; `C#` closes nothing."""
    title = line.rstrip(" \t")
    bare = title.rstrip("#")
    return bare.rstrip(" \t") if bare[-1:] in {"", " ", "\t"} else title


def _fence_after(fence: str | None, marks: str) -> str | None:
    """The fence that is open behind a fence line: a block ends with its own marks, or longer."""
    if fence is None:
        return marks
    return None if marks.startswith(fence) else fence
