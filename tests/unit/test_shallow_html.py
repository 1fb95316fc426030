"""No text of a page is lost by how deep it lies, and a page that is not deep is left as it is."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docmill.model import Page
from docmill.parse import parse
from docmill.shallow_html import DEEPEST, depth, flattened, shallow
from made_office import epub

ANY = st.sampled_from(["p", "div", "b", "li", "ul", "table", "tr", "td", "span", "option", "dd"])
# Text between a table and its cells belongs nowhere, and kreuzberg leaves it out.
ANYWHERE = st.sampled_from(["p", "div", "b", "span", "section", "blockquote", "font", "h2"])
ALONE = ["<br>", "<!-- <p> -->", "<a title='</p>'>", "<i/>", "a < b", "<script><p></script>"]


def soup_of(names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Pieces of a page in any order, some tags many times over."""
    pieces = st.one_of(
        names.map("<{}>".format),
        names.map("</{}>".format),
        st.sampled_from(ALONE),
        st.integers(100, 999).map("w{} ".format),
        st.tuples(names, st.integers(1, 90)).map(lambda many: f"<{many[0]}>" * many[1]),
    )
    return st.lists(pieces, max_size=40).map("".join)


def words_of(text: str) -> list[str]:
    return re.findall(r"w\d{3}", text)


def words_read(page: str) -> list[str]:
    parts = parse(io.BytesIO(page.encode()), "a.html")
    return words_of("".join(part.text for part in parts if isinstance(part, Page)))


@pytest.mark.parametrize(
    "tag",
    [
        *("<p>", "<p><font size=1>", "<li>", "<dt>a<dd>", "<font>", "<b>", "<option>", "<div>"),
        *("<ul><li>", "<table><tr><td>", "<tr><td>", "<blockquote>", "<section><p>"),
    ],
)
def test_two_hundred_of_a_tag_without_an_end_lose_nothing(tag: str) -> None:
    words = [f"w{number}" for number in range(100, 300)]
    page = "<html><body><table>" + "".join(f"{tag}{word} " for word in words)

    assert words_read(page) == words


@pytest.mark.parametrize(
    "element",
    ["<div><p>{}</div>", "<p><b>{}</p>", "<ul><li>{}</ul>", "<table><tr><td>{}</table>"],
)
def test_ends_that_only_the_outer_element_tells_lose_nothing(element: str) -> None:
    words = [f"w{number}" for number in range(100, 300)]

    assert words_read("<body>" + "\n".join(map(element.format, words))) == words


def test_paragraphs_without_an_end_stay_paragraphs() -> None:
    page = "".join(f"<p>paragraph {number}\n" for number in range(100))

    assert flattened(page) == page.replace("\n<p>", "\n</p><p>")


def test_page_that_is_not_deep_is_left_as_it_is() -> None:
    page = "<p>one<p>two<div><script>'<p>' * 99</script><!-- " + "<p>" * 99 + " --></div></b>"

    assert depth(page) < 9
    assert shallow(page) == page


@pytest.mark.parametrize(
    "page",
    [
        *("<script>" * 90_000, "<p>" * 90_000, "<a '\"'" * 90_000, "<!--" * 90_000, "<" * 300_000),
        *("<b>" * 90_000 + "</i>" * 90_000, "<p title='" + "x" * 9_000_000 + "'>", "</x>" * 90_000),
    ],
)
def test_page_without_end_takes_no_longer(page: str) -> None:
    assert len(shallow(page)) <= 3 * len(page)


@pytest.mark.parametrize("deep", [3, 300])
def test_book_loses_nothing_that_lies_deep(deep: int) -> None:
    chapter = "<div>" * deep + "<p>w100</p>" + "</div>" * deep + "<p>w101</p>"
    parts = parse(io.BytesIO(epub(chapter)), "a.epub")

    assert words_of("".join(part.text for part in parts if isinstance(part, Page))) == [
        "w100",
        "w101",
    ]


@given(soup_of(ANY))
def test_flattened_page_has_the_same_words_and_is_not_deep(page: str) -> None:
    flat = flattened(page)

    assert words_of(flat) == words_of(page)
    assert depth(flat) <= DEEPEST


@given(soup_of(ANYWHERE))
def test_no_word_of_a_page_is_lost_however_deep_it_lies(page: str) -> None:
    assert words_read(f"<html><body>{page}</body></html>") == words_of(page)
