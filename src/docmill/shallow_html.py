"""HTML made shallow, because kreuzberg leaves out, without a word, what lies sixty elements deep.

Not only hostile pages are that deep. It does not know that a paragraph ends where the next begins,
or with the `<div>` that it is in: of a hundred `<p>` without end tags, which is good HTML, it gave
sixty.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

DEEPEST = 50

# Comments and scripts are taken whole, to the end of the page where they have none: what looks like
# a tag in them is none. Nothing in the pattern gives back, so its time grows with the page alone.
TAG = re.compile(
    r"""
    <!--.*?(?:-->|\Z)
    | <(?P<raw>script|style|textarea)\b[^>]*+>.*?(?:</(?P=raw)\s*+>|\Z)
    | <(?:/(?P<ended>[a-z][a-z0-9:-]*+)|(?P<begun>[a-z][a-z0-9:-]*+))
      (?>[^<>"']++|"[^"]*+"|'[^']*+')*+(?:(?<=/)(?P<empty>>)|>)
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
# The last group of a match says what it is.
ENDED, BEGUN = TAG.groupindex["ended"], TAG.groupindex["begun"]
VOID = {
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"),
    *("source", "track", "wbr"),
}
# What ends an open paragraph (HTML standard, 13.1.2.4), and its like.
BLOCKS = {
    *("address", "article", "aside", "blockquote", "center", "dd", "details", "dialog", "dir"),
    *("div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "li", "main", "menu", "nav", "ol", "option", "p", "pre"),
    *("search", "section", "summary", "table", "td", "th", "tr", "ul"),
}
ENDS = {  # what ends which others
    "li": {"li"},
    "dt": {"dt", "dd"},
    "dd": {"dt", "dd"},
    "td": {"td", "th"},
    "th": {"td", "th"},
    "tr": {"td", "th", "tr"},
    "option": {"option"},
}


class Tag(NamedTuple):
    """The start or end tag of an element with content, and its place in the source."""

    start: int
    end: int
    name: str
    closing: bool


class Closed(NamedTuple):
    """An element that was closed, and how deep it lay."""

    name: str
    depth: int


def shallow(source: str) -> str:
    """The page with no element deeper than kreuzberg looks; the very same where none is."""
    return flattened(source) if depth(source) > DEEPEST else source


def depth(source: str) -> int:
    """How deep the deepest element lies, to a reader who sees no end but one that is written out.

    kreuzberg sees some of the others; a page that is taken for deeper than it is loses nothing.
    """
    names: list[str] = []
    deepest = 0
    for match in TAG.finditer(source):  # not by `tags`, which takes twice the time
        if match.lastindex == BEGUN:
            if (name := match[BEGUN].lower()) not in VOID:
                names.append(name)
                deepest = max(deepest, len(names))
        elif match.lastindex == ENDED and names and names[-1] == match[ENDED].lower():
            names.pop()
    return deepest


def flattened(source: str) -> str:
    """The page with paragraphs ended and, from some depth on, text and line breaks alone."""
    parts: list[str] = []
    tree = Tree()
    done = 0
    for tag in tags(source):
        parts.append(source[done : tag.start])
        done = tag.end
        if tag.closing:
            parts += map(end_tag, tree.close(tag.name))
            continue
        if tag.name in BLOCKS:
            parts += map(end_tag, tree.close("p"))
        parts += map(end_tag, tree.open(tag.name))
        kept = len(tree) <= DEEPEST
        parts.append(source[tag.start : tag.end] if kept else line_break(tag.name))
    return "".join([*parts, source[done:]])


def end_tag(closed: Closed) -> str:
    """What stands for the end of an element."""
    return f"</{closed.name}>" if closed.depth <= DEEPEST else line_break(closed.name)


def line_break(name: str) -> str:
    """What stands for a tag that is left out."""
    return "<br/>" if name in BLOCKS else ""


class Tree:
    """The elements that are open, outermost first."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._names)

    def open(self, name: str) -> list[Closed]:
        """Open an element; returns those that it ends, innermost first."""
        closed = []
        while self._names and self._names[-1] in ENDS.get(name, ()):
            closed.append(self._pop())
        self._names.append(name)
        self._open[name] += 1
        return closed

    def close(self, name: str) -> list[Closed]:
        """Close the innermost element of this name, if one is open, and all in it."""
        closed: list[Closed] = []
        while self._open[name] and (not closed or closed[-1].name != name):
            closed.append(self._pop())
        return closed

    def _pop(self) -> Closed:
        at = len(self._names)
        name = self._names.pop()
        self._open[name] -= 1
        return Closed(name, at)


def tags(source: str) -> Iterator[Tag]:
    """The tags of elements with content."""
    for match in TAG.finditer(source):
        if match.lastindex in {BEGUN, ENDED}:
            name = match[match.lastindex].lower()
            if name not in VOID:
                yield Tag(match.start(), match.end(), name, match.lastindex == ENDED)
