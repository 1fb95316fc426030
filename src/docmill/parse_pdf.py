"""PDF by pypdfium2: page by page, memory flat, the number of pages known at once."""

import io
import re
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

import pypdfium2  # type: ignore[import-untyped]
from pypdfium2.raw import FPDF_ERR_PASSWORD  # type: ignore[import-untyped]

from docmill.errors import Failure
from docmill.filetype import PDF
from docmill.model import Notice, Opened, Page

MAX_PAGES = 100_000
MAX_PAGE_CHARACTERS = 1_000_000  # a book has as many; chunking takes a page at a time

# PDFium marks a hyphen at the end of a line by one of these and drops the line end. Most part a
# word.
HYPHENS = "\x02\ufffe"
BROKEN_WORD = re.compile(f"[{HYPHENS}](?=[a-zß-öø-ÿ])")
BROKEN_HYPHEN = re.compile(f"[{HYPHENS}]")


def parse_pdf(file: BinaryIO, first: int, last: int | None) -> Iterator[Opened | Page | Notice]:
    """`Opened`, then the pages `first` to `last` (from 1, both included; None is the end).

    Raises `FILE_ENCRYPTED`, `FILE_UNREADABLE`, `OUTPUT_TOO_LARGE` (more than 100,000 pages).
    PDFium is not thread-safe: one user per process.
    """
    with closing(open_document(file)) as document:
        total = len(document)
        if total > MAX_PAGES:
            raise Failure("OUTPUT_TOO_LARGE", f"It has {total:,} pages, {MAX_PAGES:,} are allowed.")
        yield Opened(PDF, pages=total, ranged=True)
        for number in range(first, min(last or total, total) + 1):
            yield from read_page(document, number)


def open_document(file: BinaryIO) -> pypdfium2.PdfDocument:
    """The document, or why there is none.

    Of a file PDFium asks for some bytes here and some there; what is in memory it takes unasked.
    """
    try:
        return pypdfium2.PdfDocument(file.getvalue() if isinstance(file, io.BytesIO) else file)
    except pypdfium2.PdfiumError as error:
        if error.err_code == FPDF_ERR_PASSWORD:
            raise Failure("FILE_ENCRYPTED", "The PDF asks for a password.") from error
        raise Failure("FILE_UNREADABLE", "The PDF is damaged or cut off.") from error


def read_page(document: pypdfium2.PdfDocument, number: int) -> Iterator[Page | Notice]:
    """One page, and a notice where it has no text. A broken page is an empty one."""
    try:
        with closing(document[number - 1]) as page, closing(page.get_textpage()) as text_page:
            text = plain(text_page.get_text_bounded())
    except pypdfium2.PdfiumError:
        yield Page(number, "")
        yield Notice("PARTS_SKIPPED", "The page is damaged and was left out.", number)
        return
    yield Page(number, text[:MAX_PAGE_CHARACTERS])
    if len(text) > MAX_PAGE_CHARACTERS:
        left_out = len(text) - MAX_PAGE_CHARACTERS
        yield Notice(
            "PARTS_SKIPPED", f"The page's last {left_out:,} characters were left out.", number
        )
    if not text.strip():
        yield Notice("PAGE_WITHOUT_TEXT", "The page has no text; a scan needs OCR.", number)


def plain(text: str) -> str:
    """Line feeds as line ends, and words whole that were parted at the end of a line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not any(hyphen in text for hyphen in HYPHENS):
        return text
    return BROKEN_HYPHEN.sub("-", BROKEN_WORD.sub("", text))
