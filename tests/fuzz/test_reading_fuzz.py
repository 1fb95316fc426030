"""What files hold: kinds, archives, texts, frames, and damaged files of every kind."""

import io
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docmill import filetype
from docmill.archive_check import check_archive
from docmill.model import Notice, Opened, Page
from docmill.parse_child import FRAME, frame, unframe
from docmill.parse_process import ParseLimits, ParseProcess, parser_zygote
from docmill.parse_text import PAGE_CHARACTERS, parse_text
from fuzz.mutations import damaged, refusal
from hostile.good_files import whole_files
from made_files import docx, zipped
from made_ole import ole

WHOLE = whole_files()
OLE = [ole({"WordDocument": b"x" * 9000}), ole({"Workbook": b"x", "EncryptedPackage": b""})]
ARCHIVES = [docx("ferry"), WHOLE["a.epub"], zipped(a="x" * 999, b=zipped(c="y"))]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "cp1251", "big5", "koi8_r"]

names = st.sampled_from(["a", *WHOLE]) | st.text(max_size=20)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)
encoded = st.builds(str.encode, texts, st.sampled_from(ENCODINGS), st.just("replace"))
damaged_files = st.sampled_from(sorted(WHOLE)).flatmap(
    lambda name: st.tuples(st.just(name), damaged([WHOLE[name]]))
)


@given(st.binary(max_size=300) | damaged([*WHOLE.values(), *OLE]), names)
def test_every_file_has_a_kind(content: bytes, name: str) -> None:
    kind = filetype.media_type(io.BytesIO(content), name)

    assert "/" in kind
    assert filetype.correction(kind, name) != ""


@given(damaged(ARCHIVES))
def test_archive_is_let_through_or_refused_with_a_code(content: bytes) -> None:
    assert refusal(lambda: check_archive(io.BytesIO(content))) in {
        None,
        "ARCHIVE_REFUSED",
        "FILE_UNREADABLE",
        "FILE_ENCRYPTED",
    }


@given(st.binary(max_size=2000) | encoded)
def test_any_bytes_are_text_in_pages_or_no_text(content: bytes) -> None:
    pages: list[Page] = []

    def read() -> None:
        pages.extend(part for part in parse_text(io.BytesIO(content)) if isinstance(part, Page))

    assert refusal(read) in {None, "FILE_UNREADABLE"}
    assert [page.number for page in pages] == list(range(1, len(pages) + 1))
    assert all(len(page.text) <= PAGE_CHARACTERS for page in pages)


@given(texts)
def test_text_in_utf8_comes_back_as_it_was(text: str) -> None:
    marked = text.encode("utf-8-sig")
    pages = [part for part in parse_text(io.BytesIO(marked)) if isinstance(part, Page)]

    assert "".join(page.text for page in pages) == text.replace("\r\n", "\n").replace("\r", "\n")


@given(
    st.builds(Page, st.integers(0, 2**32 - 1), texts)
    | st.builds(Notice, texts, texts, st.none() | st.integers())
    | st.builds(Opened, texts, st.none() | st.integers(), st.booleans())
)
def test_part_comes_over_the_pipe_as_it_was(part: Opened | Page | Notice) -> None:
    data = frame(part)
    kind, number, length = FRAME.unpack_from(data)

    assert unframe(kind, number, data[FRAME.size :]) == part
    assert length == len(data) - FRAME.size


@given(st.sampled_from([b"P", b"O", b"N", b"F", b"R", b"D", b"?"]), st.binary(max_size=60))
def test_answer_of_a_broken_parser_is_seen_for_what_it_is(kind: bytes, body: bytes) -> None:
    with suppress(ValueError, TypeError, KeyError):  # what the parent takes for nonsense
        unframe(kind, 1, body)


@pytest.fixture(scope="module")
def parser() -> Iterator[ParseProcess]:
    zygote = parser_zygote()
    process = ParseProcess(ParseLimits(memory_bytes=256 << 20, cpu_seconds=5), zygote)
    yield process
    process.close()
    zygote.close()


@given(named=damaged_files)
def test_damaged_file_is_read_or_fails_with_a_reason(
    parser: ParseProcess, named: tuple[str, bytes]
) -> None:
    name, content = named
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        parts = parser.parse(file, name, first=1, last=None, stop=threading.Event())
        assert refusal(lambda: list(parts)) != "INTERNAL"
