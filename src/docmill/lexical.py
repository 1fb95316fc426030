"""Words for full-text search, found the same way in documents and in queries.

PostgreSQL's own parser can't segment Chinese, Japanese or Thai: a sentence becomes one word that
only the same sentence finds. So words are found here and handed over, those of documents with
their places (tsvectors.py) and those of queries as `tsquery` literals: runs of letters and digits,
case and compatibility forms folded, accents of Latin, Greek and Cyrillic letters dropped, and
scripts without spaces cut into overlapping pairs, as Lucene's CJK analyzer does.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

# Thai, Lao, Burmese, Khmer, Hiragana, Katakana (NFKC folds the half-width forms away), Han.
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
RUN = re.compile(rf"(?P<unspaced>[{UNSPACED}]+)|(?P<word>(?:(?![{UNSPACED}])[^\W_])+)")
# What a text that is ASCII throughout becomes: its words in small letters, and spaces.
ASCII_WORDS = "".join(char.lower() if char.isalnum() else " " for char in map(chr, range(128)))
# The same as RUN for a text without unspaced scripts, four times faster.
SPACED_RUN = re.compile(r"[^\W_]+")
UNSPACED_CHARACTER = re.compile(f"[{UNSPACED}]")
ACCENTS = re.compile(r"[\u0300-\u036f]")
# As RUN, in a text that is not folded: an accent may follow its letter as a character of its own.
RUN_AS_WRITTEN = re.compile(
    rf"(?P<unspaced>[{UNSPACED}]+)|(?P<word>(?:(?![{UNSPACED}])[^\W_][\u0300-\u036f]*)+)"
)

LONGEST_WORD = 80  # characters; PostgreSQL takes 2,046 bytes, and nobody searches for more
MOST_QUERY_WORDS = 32


def words(text: str) -> list[str]:
    """The words of a text, in order, as they are compared."""
    if text.isascii():
        return _cut(text.translate(ASCII_WORDS).split())
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = ACCENTS.sub("", unicodedata.normalize("NFD", folded))
    folded = unicodedata.normalize("NFC", bare)
    if not UNSPACED_CHARACTER.search(folded):
        return _cut(SPACED_RUN.findall(folded))
    return [word for run in RUN.finditer(folded) for word in _words_of(run)]


def _cut(found: list[str]) -> list[str]:
    """Words, cut off where one is too long."""
    if max(map(len, found), default=0) <= LONGEST_WORD:
        return found
    return [word[:LONGEST_WORD] for word in found]


def _words_of(run: re.Match[str]) -> Iterator[str]:
    if word := run["word"]:
        yield word[:LONGEST_WORD]
        return
    unspaced = run["unspaced"]
    if len(unspaced) == 1:
        yield unspaced
    for first, second in pairwise(unspaced):
        yield first + second


def found_in(text: str, query: str) -> list[tuple[int, int]]:
    """Where the query's words stand in a text, as stretches of characters from and up to."""
    wanted = set(words(query)[:MOST_QUERY_WORDS])
    if text.isascii():  # no two words touch each other
        lower = text.lower()
        return sorted(place for word in wanted for place in _places(lower, word))
    places: list[tuple[int, int]] = []
    for run in RUN_AS_WRITTEN.finditer(text):
        for start, end in _found_in_run(run, wanted):
            if places and start <= places[-1][1]:
                places[-1] = (places[-1][0], end)
            else:
                places.append((start, end))
    return places


def _places(text: str, word: str) -> Iterator[tuple[int, int]]:
    """Where a word stands in a text of small ASCII letters: to look for it reads no other word."""
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        if len(word) == LONGEST_WORD:  # it may be the beginning of a longer one
            end = SPACED_RUN.match(text, start).end()  # type: ignore[union-attr]
        if not text[start - 1 : start].isalnum() and not text[end : end + 1].isalnum():
            yield start, end
        start = text.find(word, end)


def _found_in_run(run: re.Match[str], wanted: set[str]) -> Iterator[tuple[int, int]]:
    written = run[0]
    if written.isascii():
        if written.lower()[:LONGEST_WORD] in wanted:
            yield run.span()
        return
    found = words(written)
    # Pairs stand one character apart, unless folding made more or fewer characters of them.
    if run["unspaced"] and len(found) == len(written) - 1:
        for at, pair in enumerate(found, start=run.start()):
            if pair in wanted:
                yield at, at + 2
    elif not wanted.isdisjoint(found):
        yield run.span()


def tsqueries(query: str) -> list[str]:
    """A literal for each of the query's words, the first 32 different ones."""
    return [_quoted(word) for word in list(dict.fromkeys(words(query)))[:MOST_QUERY_WORDS]]


def tsquery_any(query: str) -> str:
    """A literal that passages with any of the query's words match; empty without a word."""
    return " | ".join(tsqueries(query))


def tsquery_phrase(query: str) -> str:
    """A literal that passages with the query's words in a row match."""
    return " <-> ".join(map(_quoted, words(query)))


def _quoted(word: str) -> str:
    """A word holds letters and digits only, so there is nothing to escape."""
    return f"'{word}'"
