import copy
import io
import struct
import tempfile
import threading
import zipfile
import zlib
from email.message import EmailMessage
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docmill import archive_check, filetype
from docmill.errors import FAILURES, WARNINGS, Failure
from docmill.model import Notice, Opened, Page
from docmill.parse import parse
from docmill.parse_office import without_head, without_shapes
from docmill.parse_pdf import MAX_PAGE_CHARACTERS
from docmill.parse_process import ParseLimits, ParseProcess, parser_zygote
from docmill.parse_text import PAGE_CHARACTERS
from made_files import docx, one_page, open_document, pdf, pdf_of, pdf_stream, zip_of, zipped
from made_office import pptx, shape

Parts = list[Opened | Page | Notice]


class Read(Protocol):
    def __call__(
        self, content: bytes, name: str, first: int = 1, last: int | None = None
    ) -> Parts: ...


@pytest.fixture
def read() -> Read:
    def read(content: bytes, name: str, first: int = 1, last: int | None = None) -> Parts:
        return list(parse(io.BytesIO(content), name, first, last))

    return read


def pages(parts: Parts) -> list[tuple[int, str]]:
    return [(part.number, part.text) for part in parts if isinstance(part, Page)]


def text(parts: Parts) -> str:
    return "\n\n".join(text for _, text in pages(parts))


def codes(parts: Parts) -> list[tuple[str, int | None]]:
    found = [(part.code, part.page) for part in parts if isinstance(part, Notice)]
    assert {code for code, _ in found} <= WARNINGS.keys()
    return found


def refusal(read: Read, content: bytes, name: str) -> str:
    with pytest.raises(Failure) as caught:
        read(content, name)
    assert caught.value.code in FAILURES
    return str(caught.value)


# PDF -------------------------------------------------------------------------------------


def test_pdf_tells_its_pages_before_the_first(read: Read) -> None:
    parts = read(pdf("one", "two", "three"), "a.pdf")

    assert parts[0] == Opened(filetype.PDF, pages=3, ranged=True)
    assert pages(parts) == [(1, "one"), (2, "two"), (3, "three")]
    assert codes(parts) == []


@pytest.mark.parametrize(
    ("first", "last", "numbers"),
    [(1, 2, [1, 2]), (2, 3, [2, 3]), (3, None, [3]), (3, 99, [3]), (4, None, [])],
)
def test_only_the_pages_asked_for_are_read(
    read: Read, first: int, last: int | None, numbers: list[int]
) -> None:
    parts = read(pdf("one", "two", "three"), "a.pdf", first, last)

    assert parts[0] == Opened(filetype.PDF, pages=3, ranged=True)
    assert [number for number, _ in pages(parts)] == numbers


def test_page_of_more_than_a_million_characters_is_cut_and_told(read: Read) -> None:
    lines = f"({'word ' * 2000}) Tj T* " * 120
    page = pdf_stream(f"BT /F .01 Tf .1 TL 1 90 Td {lines} ET".encode())
    font = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"

    parts = read(pdf_of([*one_page(font), page]), "a.pdf")

    assert [len(text) for _, text in pages(parts)] == [MAX_PAGE_CHARACTERS]
    assert codes(parts) == [("PARTS_SKIPPED", 1)]


def test_page_without_text_is_told_and_never_called_an_empty_file(read: Read) -> None:
    assert codes(read(pdf("one", ""), "a.pdf")) == [("PAGE_WITHOUT_TEXT", 2)]
    assert codes(read(pdf(""), "a.pdf")) == [("PAGE_WITHOUT_TEXT", 1)]


def test_damaged_page_is_left_out_and_the_others_are_read(read: Read) -> None:
    broken = pdf("one", "two").replace(b"/Kids[4 0 R 6 0 R]", b"/Kids[9 0 R 6 0 R]")

    parts = read(broken, "a.pdf")

    assert pages(parts) == [(1, ""), (2, "two")]
    assert codes(parts) == [("PARTS_SKIPPED", 1)]


def test_pdf_named_docx_is_read_as_pdf_and_told(read: Read) -> None:
    parts = read(pdf("one"), "a.docx")

    assert parts[0] == Opened(filetype.PDF, pages=1, ranged=True)
    assert codes(parts) == [("TYPE_CORRECTED", None)]


def test_damaged_pdf_is_unreadable(read: Read) -> None:
    assert refusal(read, pdf("one")[:200], "a.pdf").startswith("FILE_UNREADABLE")


def test_pdf_that_claims_a_million_pages_is_refused(read: Read) -> None:
    many = pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 1000000>>"])

    assert refusal(read, many, "a.pdf").startswith("OUTPUT_TOO_LARGE")


# text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Tide table: Größe, 5 €".encode(), []),
        ("Tide table: Größe, 5 €".encode("utf-8-sig"), []),
        ("\ufeffTide table: Größe, 5 €".encode("utf-16-le"), []),
        ("\ufeffTide table: Größe, 5 €".encode("utf-16-be"), []),
        ("\ufeffTide table: Größe, 5 €".encode("utf-32-le"), []),
        ("Tide table: Größe, 5 €".encode("cp1252"), [("ENCODING_GUESSED", None)]),
    ],
)
def test_text_is_decoded_by_mark_by_utf8_or_by_guess(
    read: Read, content: bytes, said: list[Any]
) -> None:
    parts = read(content, "a.txt")

    assert parts[0] == Opened(filetype.TEXT, pages=None, ranged=False)
    assert pages(parts) == [(1, "Tide table: Größe, 5 €")]
    assert codes(parts) == said


@pytest.mark.parametrize("words", ["naïve café", "déjà vu", "Grüße aus München, fünf Säcke"])
def test_short_western_text_is_not_taken_for_another_alphabet(read: Read, words: str) -> None:
    assert text(read(words.encode("cp1252"), "a.txt")) == words


def test_few_bad_bytes_in_utf8_are_replaced_and_told(read: Read) -> None:
    parts = read("größer ".encode() * 20 + b"\xff\n", "a.txt")

    assert text(parts) == "größer " * 20 + "\ufffd\n"
    assert codes(parts) == [("ENCODING_GUESSED", None), ("CONTENT_REPLACED", None)]


@given(st.lists(st.tuples(st.integers(0, 219), st.integers(128, 255)), max_size=9))
def test_stray_bytes_in_a_plain_text_are_no_reason_to_refuse_it(
    read: Read, stray: list[tuple[int, int]]
) -> None:
    content = bytearray(b"a ferry and a harbour\n" * 10)
    for place, byte in stray:
        content[place] = byte

    assert len(pages(read(bytes(content), "a.log"))) == 1


def test_text_of_which_little_can_be_read_is_refused(read: Read) -> None:
    said = refusal(read, b"ab \x81\xff\xfe\x90\n" * 30, "a.txt")

    assert said.startswith("FILE_UNREADABLE: It is text in no encoding")


def test_nul_and_lone_surrogates_never_reach_a_page(read: Read) -> None:
    marked = "\ufeffa\0b".encode("utf-16-le") + b"\x00\xd8" + "c".encode("utf-16-le")

    assert text(read(b"a\0b " + b"long enough to be text " * 9, "a.txt")).startswith("ab ")
    assert text(read(marked, "a.txt")).encode() == "ab\ufffdc".encode()


def test_line_ends_become_line_feeds(read: Read) -> None:
    assert text(read(b"a\r\nb\rc\nd", "a.csv")) == "a\nb\nc\nd"


def test_long_text_is_cut_at_paragraphs_and_loses_nothing(read: Read) -> None:
    whole = "\n\n".join(f"Paragraph {number} about ropes. " * 40 for number in range(400))

    parts = read(whole.encode(), "a.txt")

    assert parts[0] == Opened(filetype.TEXT, pages=None, ranged=False)
    assert len(pages(parts)) > 4
    assert all(len(text) <= PAGE_CHARACTERS for _, text in pages(parts))
    assert text(parts) == whole


def test_text_without_a_line_end_is_cut_all_the_same(read: Read) -> None:
    parts = read(b"x" * (2 * PAGE_CHARACTERS + 5), "a.txt")

    assert [len(text) for _, text in pages(parts)] == [PAGE_CHARACTERS, PAGE_CHARACTERS, 5]


def test_other_encoding_that_begins_after_a_megabyte_is_found(read: Read) -> None:
    content = b"plain line\n" * 150_000 + "fünf Säcke Roggen täglich\n".encode("cp1252") * 9

    parts = read(content, "a.txt")

    assert "fünf Säcke Roggen täglich" in pages(parts)[-1][1]
    assert codes(parts) == [("ENCODING_GUESSED", None)]


def test_blank_file_is_told_to_have_nothing_to_search(read: Read) -> None:
    assert codes(read(b" \n\n", "a.txt")) == [("NO_TEXT", None)]


def test_empty_file_is_unreadable(read: Read) -> None:
    assert refusal(read, b"", "a.txt").startswith("FILE_UNREADABLE")


# office, HTML, mail ----------------------------------------------------------------------


def test_docx_is_one_page_and_ignores_the_range(read: Read) -> None:
    parts = read(docx("The ferry leaves", "at nine"), "a.docx", 5, 9)

    assert parts[0] == Opened(filetype.DOCX, pages=None, ranged=False)
    assert [number for number, _ in pages(parts)] == [1]
    assert "The ferry leaves\n\nat nine" in text(parts)


def test_long_document_is_cut_into_pages_and_loses_nothing(read: Read) -> None:
    paragraphs = [f"Paragraph {number} about ropes. " * 9 for number in range(1500)]

    parts = read(docx(*paragraphs), "a.docx")

    assert len(pages(parts)) > 3
    assert all(len(text) <= PAGE_CHARACTERS for _, text in pages(parts))
    assert text(parts).split() == " ".join(paragraphs).split()


def test_html_gives_title_and_body_without_meta_tags(read: Read) -> None:
    page = (
        "<html><head><script>document.write('</head>')</script><meta name=author content=nobody>"
        "<title>Tar &amp;\n yard</title></head><body><h2>Prices</h2><p>Größe</p></body></html>"
    )

    assert text(read(page.encode(), "a.html")) == "# Tar & yard\n\n## Prices\n\nGröße\n"


@pytest.mark.parametrize(
    "page",
    ["<head " * 100_000, "<head>" + "<script " * 90_000, "<head>" + "<title" * 90_000 + "</head>"],
)
def test_page_that_repeats_its_head_takes_no_longer(page: str) -> None:
    """A pattern that tried every beginning with every end did not come to one here."""
    title, body = without_head(page)

    assert (title, body) in {("", page), ("", "")}


def test_pictures_without_an_end_do_not_keep_a_presentation() -> None:
    open_ended = b"<p:pic >" * 200_000

    assert without_shapes(b"<p:pic>x</p:pic>y" + open_ended) == b"y" + open_ended


def test_html_in_another_encoding_is_decoded(read: Read) -> None:
    parts = read("<p>fünf Säcke Roggen täglich gemahlen</p>".encode("cp1252"), "a.html")

    assert "fünf Säcke" in text(parts)
    assert codes(parts) == [("ENCODING_GUESSED", None)]


def mail_with_attachments() -> bytes:
    inner = EmailMessage()
    inner["Subject"] = "Older"
    inner.set_content("the older letter")
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", "Sails"
    mail.set_content("a new bolt rope")
    mail.add_attachment(inner)
    mail.add_attachment(pdf("measures of the mizzen"), "application", "pdf", filename="m.pdf")
    mail.add_attachment(pdf("measures of the jib"), "application", "pdf", filename="m.pdf")
    mail.add_attachment(pdf("cut")[:99], "application", "pdf", filename="half.pdf")
    mail.add_attachment(b"\0\1\2" * 9, "application", "octet-stream", filename="x.bin")
    return mail.as_bytes()


def test_mail_carries_the_text_of_its_attachments() -> None:
    """In the child: it has no folder for a library that kreuzberg would read PDFs with."""
    zygote = parser_zygote()
    parser = ParseProcess(ParseLimits(), zygote)
    with tempfile.TemporaryFile() as file:
        file.write(mail_with_attachments())
        file.flush()
        parts = list(parser.parse(file, "a.eml", first=1, last=None, stop=threading.Event()))
    parser.close()
    zygote.close()

    for phrase in ("a new bolt rope", "the older letter", "# m.pdf", "the mizzen", "the jib"):
        assert phrase in text(parts)
    assert [part.detail for part in parts if isinstance(part, Notice)] == [
        "Attachments without readable text: half.pdf, x.bin."
    ]


ODP = (
    '<office:document-content xmlns:office="o" xmlns:draw="d" xmlns:text="t">'
    '<draw:page draw:name="Ferry"><text:p>leaves<text:s/>at<text:tab/>nine</text:p>'
    "<text:h>Fares</text:h></draw:page></office:document-content>"
)


def test_odp_is_read_slide_by_slide(read: Read) -> None:
    parts = read(open_document(filetype.ODP, ODP), "a.odp")

    assert text(parts) == "## Ferry\n\nleaves at\tnine\n\nFares"


def test_entities_in_odp_are_refused(read: Read) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + ODP

    assert "document type" in refusal(read, open_document(filetype.ODP, bomb), "a.odp")


def test_encrypted_open_document_is_told_as_such(read: Read) -> None:
    locked = open_document(filetype.ODT, "x", "<m><manifest:encryption-data/></m>")

    assert refusal(read, locked, "a.odt").startswith("FILE_ENCRYPTED")


# what is refused -------------------------------------------------------------------------


def test_picture_is_refused_with_the_reason(read: Read) -> None:
    said = refusal(read, b"\x89PNG\r\n\x1a\n" + bytes(99), "scan.pdf")

    assert said.startswith("TYPE_UNSUPPORTED")
    assert "OCR" in said


def test_plain_zip_is_refused_with_advice(read: Read) -> None:
    assert "upload the files in it" in refusal(read, zipped(a="text"), "a.zip")


def test_half_a_docx_is_unreadable(read: Read) -> None:
    assert refusal(read, docx("Hello")[:300], "a.docx").startswith("FILE_UNREADABLE")


def test_zip_bomb_is_refused_unopened(read: Read) -> None:
    bomb = docx("x", **{"word/media/a.xml": b"\0" * (64 << 20)})

    assert refusal(read, bomb, "a.docx").startswith("ARCHIVE_REFUSED")


def test_bomb_inside_a_document_is_refused(read: Read) -> None:
    inner = zipped(a=b"\0" * (64 << 20))

    assert refusal(read, docx("x", **{"word/a.xlsx": inner}), "a.docx").startswith(
        "ARCHIVE_REFUSED"
    )


def test_archives_nested_too_deep_are_refused(read: Read) -> None:
    nested = zipped(a="x")
    for _ in range(archive_check.MAX_DEPTH):
        nested = zip_of({"a.zip": nested})

    assert refusal(read, docx("x", **{"word/a.zip": nested}), "a.docx").startswith(
        "ARCHIVE_REFUSED"
    )


def test_embedded_sheet_is_no_reason_to_refuse(read: Read) -> None:
    parts = read(docx("with a sheet", **{"word/embeddings/a.xlsx": zipped(a="x")}), "a.docx")

    assert "with a sheet" in text(parts)


def test_ten_thousand_and_one_entries_are_refused(read: Read) -> None:
    many = zip_of({f"{number}": "" for number in range(archive_check.MAX_ENTRIES + 1)})

    assert refusal(read, many, "a.docx").startswith("ARCHIVE_REFUSED")


def test_count_of_entries_is_read_where_large_archives_state_it(read: Read) -> None:
    """`zipfile` believes the record of a large archive; the other one may say anything."""
    many = 1 << 20
    large = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, many, many, 46 * many, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    honest = docx("x")
    end = honest.rfind(b"PK\x05\x06")

    said = refusal(read, honest[:end] + large + locator + honest[end:], "a.docx")

    assert said.startswith("ARCHIVE_REFUSED")


def test_archive_with_two_directories_is_unreadable(read: Read) -> None:
    other = docx("another text")
    comment = other[other.rfind(b"PK\x05\x06") :]
    two = bytearray(docx("x") + comment)
    two[-len(comment) - 2 : -len(comment)] = struct.pack("<H", len(comment))

    assert "two directories" in refusal(read, bytes(two), "a.docx")


def test_overlapping_entries_are_refused(read: Read) -> None:
    """One packed megabyte, listed three times under different names."""
    out = io.BytesIO(docx("x", **{"word/big.xml": bytes(1 << 20)}))
    with zipfile.ZipFile(out, "a") as archive:
        big = archive.getinfo("word/big.xml")
        for name in ("word/2.xml", "word/3.xml"):
            twin = copy.copy(big)
            twin.filename = twin.orig_filename = name
            archive.filelist.append(twin)
        archive._didModify = True  # type: ignore[attr-defined]

    assert "overlap" in refusal(read, out.getvalue(), "a.docx")


def test_archive_inside_is_found_under_any_name(read: Read) -> None:
    inner = zipped(a=b"\0" * (64 << 20))

    assert refusal(read, docx("x", **{"word/a.bin": inner}), "a.docx").startswith("ARCHIVE_REFUSED")


def test_broken_or_locked_archive_inside_is_no_reason_to_refuse(read: Read) -> None:
    broken = zipped(a="x" * 1000)[:-30]
    locked = bytearray(zipped(a="x"))
    locked[locked.find(b"PK\x01\x02") + 8] |= 1

    parts = read(docx("whole", **{"a.xlsx": broken, "b.xlsx": bytes(locked)}), "a.docx")

    assert "whole" in text(parts)


def damaged(archive: bytes, entry: str) -> bytes:
    """The archive with the packed data of an entry overwritten where it begins."""
    place = archive.find(entry.encode()) + len(entry)
    return archive[:place] + b"\xff" * 9 + archive[place + 9 :]


def test_damage_counts_where_the_text_is_and_not_elsewhere(read: Read) -> None:
    whole = docx("a ferry and a harbour", **{"word/media/a.png": bytes(range(256)) * 9})

    assert "a ferry" in text(read(damaged(whole, "word/media/a.png"), "a.docx"))
    assert refusal(read, damaged(whole, "word/document.xml"), "a.docx").startswith(
        "FILE_UNREADABLE"
    )


def test_damaged_picture_in_a_presentation_loses_no_text(read: Read) -> None:
    nothing = '<p:pic><p:blipFill><a:blip r:embed="rId9"/></p:blipFill></p:pic>'
    slides = pptx(nothing + shape("a ferry"), **{"ppt/media/a.png": bytes(range(256)) * 9})

    assert "a ferry" in text(read(damaged(slides, "ppt/media/a.png"), "a.pptx"))


def test_entry_that_lies_about_its_size_is_refused(read: Read) -> None:
    honest = docx("x", **{"word/big.xml": b"\0" * (8 << 20)})
    lying = honest.replace(struct.pack("<I", 8 << 20), struct.pack("<I", 1000))

    assert refusal(read, lying, "a.docx").startswith("ARCHIVE_REFUSED")


@pytest.mark.parametrize("content", [b"\0", bytes(range(256))])
@pytest.mark.parametrize("blocks", [0, 1, 5])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_entry_is_unpacked_to_its_last_byte(content: bytes, blocks: int, more: int) -> None:
    size = max(0, blocks * archive_check.BLOCK_BYTES + more)
    data = (content * size)[:size]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()

    found = archive_check.unpacked(io.BytesIO(packed + b"what follows"), len(packed))

    assert b"".join(found) == data


def test_entry_that_holds_one_byte_more_is_refused(read: Read) -> None:
    honest = docx("x", **{"word/big.xml": b"\0" * (1 << 20)})
    lying = honest.replace(struct.pack("<I", 1 << 20), struct.pack("<I", (1 << 20) - 1))

    assert refusal(read, lying, "a.docx").startswith("ARCHIVE_REFUSED")


def test_entry_whose_own_header_says_something_else_is_unreadable(read: Read) -> None:
    """Readers that go by the headers would find another archive than those by the directory."""
    honest = docx("x", **{"word/small.xml": b"small"})
    name = honest.find(b"word/small.xml")
    header = name - archive_check.LOCAL.size
    renamed = honest[:name] + b"another." + honest[name + len(b"another.") :]
    missing = honest[:header] + b"nowhere" + honest[header + len(b"nowhere") :]

    assert "another name" in refusal(read, renamed, "a.docx")
    assert "not where its directory says" in refusal(read, missing, "a.docx")


def test_encrypted_zip_entries_are_told_as_such(read: Read) -> None:
    out = io.BytesIO(docx("x"))
    with zipfile.ZipFile(out) as archive:
        start = archive.start_dir
    locked = bytearray(out.getvalue())
    locked[start + 8] |= 1  # general purpose flag of the first entry in the directory

    assert refusal(read, bytes(locked), "a.docx").startswith("FILE_ENCRYPTED")
