"""From a file to pages: what it is, which parser reads it, what every text must be like.

Runs in a child process (`parse_child`), never in a worker: no parser is safe from every file.
"""

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from docmill import filetype
from docmill.archive_check import check_archive
from docmill.errors import Failure
from docmill.filetype import NAMES
from docmill.model import Notice, Opened, Page
from docmill.parse_mail import parse_mail
from docmill.parse_office import (
    parse_epub,
    parse_html,
    parse_office,
    parse_open_document,
    parse_pptx,
)
from docmill.parse_pdf import parse_pdf
from docmill.parse_text import parse_text

Parts = Iterator[Page | Notice]

WHOLE: dict[str, Callable[[BinaryIO, str], Parts]] = {
    filetype.DOCX: parse_office,
    filetype.PPTX: parse_pptx,
    filetype.XLSX: parse_office,
    filetype.XLSM: parse_office,
    filetype.XLSB: parse_office,
    filetype.ODT: parse_open_document,
    filetype.ODS: parse_open_document,
    filetype.ODP: parse_open_document,
    filetype.EPUB: parse_epub,
    filetype.DOC: parse_office,
    filetype.XLS: parse_office,
    filetype.PPT: parse_office,
    filetype.RTF: parse_office,
    filetype.IPYNB: parse_office,
    filetype.MSG: parse_mail,
    filetype.EML: parse_mail,
    filetype.HTML: parse_html,
}
STREAMED = {
    filetype.TEXT,
    filetype.MARKDOWN,
    filetype.CSV,
    filetype.TSV,
    filetype.JSON,
    filetype.XML,
}
UNSTORABLE = re.compile("[\ud800-\udfff]")  # PostgreSQL's text refuses these, and NUL


def parse(
    file: BinaryIO, filename: str, first: int = 1, last: int | None = None
) -> Iterator[Opened | Page | Notice]:
    """`Opened`, then pages (numbered from 1) and notices of an open, seekable file.

    `filename` is what its sender called it. The range `first` to `last` counts for PDF only; of
    all else the whole is read. Raises `Failure`: `FILE_UNREADABLE`, `FILE_ENCRYPTED`,
    `TYPE_UNSUPPORTED`, `ARCHIVE_REFUSED`, `OUTPUT_TOO_LARGE`.
    """
    kind = kind_of(file, filename)
    if kind == filetype.PDF:
        parts: Iterator[Opened | Page | Notice] = parse_pdf(file, first, last)
    else:
        parts = parse_whole(file, kind)
    corrected = filetype.correction(kind, filename)
    for part in parts:
        yield storable(part) if isinstance(part, Page) else part
        if corrected and isinstance(part, Opened):
            yield Notice("TYPE_CORRECTED", corrected)


def kind_of(file: BinaryIO, filename: str) -> str:
    """The media type; a zip's directory is checked before anything opens it."""
    head = file.read(filetype.HEAD_BYTES)
    if not head:
        raise Failure("FILE_UNREADABLE", "The file is empty.")
    if filetype.by_magic(head) == filetype.ZIP:
        check_archive(file)
    file.seek(0)
    return filetype.media_type(file, filename)


def parse_whole(file: BinaryIO, kind: str) -> Iterator[Opened | Page | Notice]:
    """A file without page ranges, and a notice where it had nothing to search."""
    parts = parts_of(file, kind)
    yield Opened(kind, pages=None, ranged=False)
    empty = True
    for part in parts:
        empty = empty and not (isinstance(part, Page) and part.text.strip())
        yield part
    if empty:
        yield Notice("NO_TEXT", "Nothing to search was found in this file.")


def parts_of(file: BinaryIO, kind: str) -> Parts:
    """What the parser of this kind gives, or why there is no parser."""
    if kind in STREAMED:
        return parse_text(file)
    if kind in WHOLE:
        return WHOLE[kind](file, kind)
    if kind == filetype.ENCRYPTED_OFFICE:
        raise Failure("FILE_ENCRYPTED", "The office file asks for a password.")
    raise Failure("TYPE_UNSUPPORTED", why_unsupported(kind))


def why_unsupported(kind: str) -> str:
    """What the file is instead of a document."""
    if kind.startswith("image/"):
        return f"It is a picture ({kind}); text in pictures needs OCR, which docmill does not have."
    if kind == filetype.ZIP:
        return "It is a zip archive; upload the files in it one by one."
    if kind == filetype.UNKNOWN:
        return "Its content is no kind of document that docmill knows."
    return f"It is {NAMES.get(kind, kind)}."


def storable(page: Page) -> Page:
    """The page as PostgreSQL can keep it."""
    text = page.text.replace("\0", "")
    if not text.isascii():
        text = UNSTORABLE.sub("\ufffd", text)
    return page if text == page.text else Page(page.number, text)
