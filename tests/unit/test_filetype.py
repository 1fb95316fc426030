import io
import os
from pathlib import Path
from random import Random

import pytest

from docmill import filetype
from docmill.filetype import correction, media_type
from made_files import docx, open_document, pdf, zip_of, zipped
from made_ole import ole

HTML_PAGE = b"<!-- made by hand -->\n<!DOCTYPE html><html><body>x</body></html>"
MAIL = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: Sails\r\n\r\nHello\r\n"
NOTEBOOK = b'{"cells": [], "nbformat": 4}'
OOXML = {"[Content_Types].xml": ""}


def kind(content: bytes, filename: str = "") -> str:
    return media_type(io.BytesIO(content), filename)


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.txt", "a", "a.pdf.exe"])
def test_pdf_is_a_pdf_whatever_its_name(name: str) -> None:
    assert kind(pdf("Hello"), name) == filetype.PDF


def test_pdf_header_may_stand_anywhere_in_the_first_1024_bytes() -> None:
    assert kind(b"\0junk of a mail gateway\r\n" + pdf("Hello")) == filetype.PDF
    assert kind(b"\0" * 2000 + pdf("Hello")) == filetype.UNKNOWN


def test_text_about_the_pdf_header_is_no_pdf() -> None:
    assert kind(b"# A PDF begins with %PDF-1.4\n", "notes.md") == filetype.MARKDOWN


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("word/document.xml", filetype.DOCX),
        ("word/document2.xml", filetype.DOCX),
        ("ppt/presentation.xml", filetype.PPTX),
        ("xl/workbook.xml", filetype.XLSX),
        ("xl/workbook.bin", filetype.XLSB),
        ("xl/vbaProject.bin", filetype.XLSM),
        ("elsewhere/document.xml", filetype.ZIP),
    ],
)
def test_office_zip_is_known_by_its_entries(entry: str, expected: str) -> None:
    assert kind(zip_of({**OOXML, entry: "x"}), "a.zip") == expected


@pytest.mark.parametrize("expected", [filetype.ODT, filetype.ODS, filetype.ODP, filetype.EPUB])
def test_zip_with_a_mimetype_entry_is_what_that_says(expected: str) -> None:
    assert kind(open_document(expected, "<x/>"), "a.docx") == expected


def test_zip_of_anything_else_is_a_plain_zip() -> None:
    assert kind(zipped(readme="hello"), "a.docx") == filetype.ZIP


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (b"{\\rtf1 x}", "a.doc", filetype.RTF),
        (b"\x89PNG\r\n\x1a\n\0\0", "a.pdf", "image/png"),
        (b"\xff\xd8\xff\xe0\0", "a.txt", "image/jpeg"),
        (b"GIF89a\0\0", "a", "image/gif"),
        (b"II*\0\x08\0", "a", "image/tiff"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a", "image/webp"),
        (b"BM\x36\0\0\0\0\0\0\0", "a", "image/bmp"),
        (b"BMW makes motor cycles.", "a.txt", filetype.TEXT),
        (b"\x1f\x8b\x08\0", "a.md", "application/gzip"),
    ],
)
def test_magic_bytes_count_more_than_the_name(content: bytes, name: str, expected: str) -> None:
    assert kind(content, name) == expected


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (b"a,b\n1,2\n", "a.csv", filetype.CSV),
        (b"a\tb\n", "a.TSV", filetype.TSV),
        (b"# Title\n", "a.md", filetype.MARKDOWN),
        (b"{}", "a.json", filetype.JSON),
        (b"plain", "a.txt", filetype.TEXT),
        (b"plain", "a.py", filetype.TEXT),
        (b"Omitted tags", "a.html", filetype.HTML),
        (HTML_PAGE, "export.xls", filetype.HTML),
        (HTML_PAGE, "page.md", filetype.MARKDOWN),
        (MAIL, "a", filetype.EML),
        (MAIL, "a.eml", filetype.EML),
        (b"To: the point\n\nText", "a", filetype.TEXT),
        (NOTEBOOK, "a", filetype.IPYNB),
        (b'{"a": 1}', "a.ipynb", filetype.JSON),
        ("fünf Säcke".encode("latin-1"), "a", filetype.TEXT),
        ("\ufefftext".encode("utf-16-le"), "a", filetype.TEXT),
        (b"one stray \0 in " + b"a long text " * 20, "a.txt", filetype.TEXT),
    ],
)
def test_name_decides_between_kinds_of_text(content: bytes, name: str, expected: str) -> None:
    assert kind(content, name) == expected


def test_text_that_only_its_name_calls_a_mail_is_a_text() -> None:
    assert kind(b"ferry,harbour\n", "a.eml") == filetype.TEXT
    assert kind(b"Subject: Sails\n\nHello", "a.eml") == filetype.EML
    assert kind(b"From a@example.org Mon Jan  1\nSubject: Sails\n", "a.eml") == filetype.EML


@pytest.mark.parametrize("shift", [0, 1, 2, 10, 63])
def test_container_with_sectors_of_no_size_is_no_document(shift: int) -> None:
    broken = bytearray(ole({"WordDocument": b"x"}))
    broken[30] = shift

    assert kind(bytes(broken), "a.doc") == filetype.OLE


def test_comments_before_a_page_are_passed_over_however_many() -> None:
    """Thirty of them took a pattern that may give back longer than the machine would last."""
    comments = b"<!-- -->\n" * 5000

    assert kind(comments + HTML_PAGE) == filetype.HTML
    assert kind(comments + b"# Notes") == filetype.TEXT


@pytest.mark.parametrize("name", ["a.bin", "a.txt", "a.docx", "a.pdf"])
def test_random_bytes_are_no_known_kind(name: str) -> None:
    # Not other ones each time: of all random bytes, one in some ten thousand begin like a kind.
    assert kind(Random(name).randbytes(4096), name) == filetype.UNKNOWN


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("docling/doc/legacy_sample.doc", filetype.DOC),
        ("docling/xls/legacy_sample.xls", filetype.XLS),
        ("docling/ppt/legacy_sample.ppt", filetype.PPT),
        ("docling/email/msg_with_attachment.msg", filetype.MSG),
    ],
)
def test_ole_containers_are_told_apart_by_their_streams(
    path: str, expected: str, corpus: Path
) -> None:
    content = (corpus / path).read_bytes()

    assert kind(content, "a.bin") == expected
    assert kind(content[:600], "a.doc") == filetype.OLE


def test_a_wrong_name_is_told_in_a_sentence() -> None:
    said = correction(filetype.PDF, "report.docx")

    assert said
    assert ".docx" in said
    assert "PDF" in said


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (filetype.PDF, "a.pdf"),
        (filetype.PDF, "a"),
        (filetype.TEXT, "a.py"),
        (filetype.JSON, "a.ipynb"),
        (filetype.XLSM, "a.xlsx"),
        (filetype.DOCX, "a.docm"),
    ],
)
def test_a_fitting_name_is_not_corrected(kind: str, name: str) -> None:
    assert correction(kind, name) is None


def test_docx_is_recognised_under_any_name() -> None:
    assert kind(docx("Hello"), "a.pdf") == filetype.DOCX


@pytest.fixture
def corpus() -> Path:
    folder = Path(os.environ.get("DOCMILL_CORPUS", Path(__file__).parents[3] / "shared/corpus"))
    if not folder.is_dir():
        pytest.skip("the corpus of real documents is not here (DOCMILL_CORPUS)")
    return folder
