"""Hostile files end: read, read with warnings, or failed with a code; and harm nobody."""

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from docmill import filetype
from docmill.errors import Failure
from docmill.model import Notice, Opened, Page
from docmill.parse import parse
from docmill.parse_process import ParseLimits, ParseProcess, parser_zygote
from hostile import CASES, outside
from hostile.cases import Case, ending
from hostile.good_files import cut_off, whole_files
from made_files import docx, pdf
from made_office import epub, notebook, odf, pptx, xlsx

WHOLE = whole_files()
AWKWARD = [
    *("a", ".pdf", "a.", "a.PDF", "a.pdf.exe", "a.tar.gz", "...", "CON.txt", "a.docx ", "a.%s%n"),
    *("a.\u0301pdf", "a.\uff50df", "a" * 200 + ".pdf", "a.pdf;b", "'a'.docx", "<b>.html"),
]


@pytest.fixture(scope="module")
def parser() -> Iterator[ParseProcess]:
    zygote = parser_zygote()
    process = ParseProcess(ParseLimits(), zygote)
    yield process
    process.close()
    zygote.close()


def parts_of(parser: ParseProcess, content: bytes, name: str, tmp_path: Path) -> list[object]:
    path = tmp_path / "upload"
    path.write_bytes(content)
    with path.open("rb") as file:
        return list(parser.parse(file, name, first=1, last=None, stop=threading.Event()))


def end_of(parser: ParseProcess, content: bytes, name: str, tmp_path: Path) -> str:
    """How a document ends, as far as parsing decides it."""
    try:
        parts = parts_of(parser, content, name, tmp_path)
    except Failure as failure:
        return ending([], failure.code)
    found = any(part.text.strip() for part in parts if isinstance(part, Page))
    told = [part.code for part in parts if isinstance(part, Notice)]
    return ending(told if found else [*told, "NO_TEXT"])


def light() -> list[Case]:
    return [case for case in CASES.values() if not case.heavy]


@pytest.mark.parametrize("case", light(), ids=lambda case: case.name)
def test_hostile_file_ends_as_it_should(parser: ParseProcess, tmp_path: Path, case: Case) -> None:
    assert end_of(parser, case.make(), case.name, tmp_path) in case.ends
    assert [path.name for path in tmp_path.iterdir()] == ["upload"]


@pytest.mark.parametrize("name", WHOLE)
def test_good_file_of_every_kind_is_read(parser: ParseProcess, tmp_path: Path, name: str) -> None:
    parts = parts_of(parser, WHOLE[name], name, tmp_path)

    assert "ferry" in "".join(part.text for part in parts if isinstance(part, Page))
    assert not [part for part in parts if isinstance(part, Notice)]


@pytest.mark.parametrize("name", WHOLE)
def test_file_that_is_cut_off_ends_with_what_is_there_or_a_reason(
    parser: ParseProcess, tmp_path: Path, name: str
) -> None:
    for part in cut_off(WHOLE[name]):
        end = end_of(parser, part, name, tmp_path)
        assert end.startswith("completed") or end in {"FILE_UNREADABLE", "TYPE_UNSUPPORTED"}


@pytest.mark.parametrize("name", WHOLE)
def test_file_of_no_bytes_is_unreadable(parser: ParseProcess, tmp_path: Path, name: str) -> None:
    assert end_of(parser, b"", name, tmp_path) == "FILE_UNREADABLE"


@pytest.mark.parametrize("name", WHOLE)
def test_kind_is_known_under_the_name_of_every_other(name: str) -> None:
    """A text's kind is what its name says; all else is what it is, and the user is told."""
    content = WHOLE[name]
    real = filetype.media_type(io.BytesIO(content), name)
    for other in WHOLE:
        parts = list(parse(io.BytesIO(content), other))
        opened = next(part for part in parts if isinstance(part, Opened))
        told = [part.code for part in parts if isinstance(part, Notice)]
        if real not in filetype.TEXT_LIKE:
            assert opened.media_type == real
            assert told.count("TYPE_CORRECTED") == (name != other)
            assert "ferry" in "".join(part.text for part in parts if isinstance(part, Page))


@pytest.mark.parametrize("name", AWKWARD)
def test_name_is_never_more_than_a_name(parser: ParseProcess, tmp_path: Path, name: str) -> None:
    assert end_of(parser, WHOLE["a.docx"], name, tmp_path).startswith("completed")
    assert end_of(parser, WHOLE["a.pdf"], name, tmp_path).startswith("completed")
    assert end_of(parser, b"a ferry", name, tmp_path).startswith("completed")


@pytest.mark.parametrize("name", outside.MAKERS)
def test_parser_follows_no_address_and_opens_no_file(name: str, tmp_path: Path) -> None:
    """Even where nothing confines it: the parsing runs in place here."""
    secret = tmp_path / "secret"
    secret.write_text("nobody's business")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        for url in (f"http://127.0.0.1:{listener.getsockname()[1]}/", secret.as_uri(), str(secret)):
            with suppress(Failure):
                parts = list(parse(io.BytesIO(outside.MAKERS[name](url)), name))
                assert "nobody's business" not in str(parts)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, b" \n" * 99) for name in WHOLE),
        *[
            ("a.html", b"<html></html>"),
            ("a.rtf", b"{\\rtf1}"),
            ("a.pdf", pdf("")),
            ("a.eml", b"\n"),
        ],
        *[("a.docx", docx("")), ("a.xlsx", xlsx("")), ("a.pptx", pptx()), ("a.epub", epub(""))],
        *[("a.odt", odf(filetype.ODT, "text", "")), ("a.ipynb", notebook(""))],
    ],
)
def test_that_nothing_was_found_is_never_silent(
    parser: ParseProcess, tmp_path: Path, name: str, content: bytes
) -> None:
    end = end_of(parser, content, name, tmp_path)

    assert "NO_TEXT" in end or end == "FILE_UNREADABLE"
