"""Office files, HTML, EPUB and notebooks by kreuzberg, as markdown; ODP by ourselves.

No OCR, no cache, one thread. Its own security limits stopped nothing when they were tried, so
`archive_check` stands before it and the limits of the child process behind it.
"""

import html
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from xml.parsers import expat

import kreuzberg

from docmill import filetype
from docmill.errors import Failure
from docmill.model import Notice, Page
from docmill.parse_text import decode, notices, pages_of
from docmill.shallow_html import shallow

CONFIG = kreuzberg.ExtractionConfig(
    use_cache=False,
    disable_ocr=True,  # type: ignore[call-arg]  # only its stubs don't know it
    enable_quality_processing=False,  # it marks how good a text is, and nobody here asks
    output_format="markdown",
    concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
)
MESSAGE_CHARACTERS = 200
WARNINGS_TOLD = 50

HEAD_WITHIN = 1 << 20
HEAD_START = re.compile(r"<head(?=[\s>])", re.IGNORECASE)
HEAD_MARK = re.compile(r"<(?:script\b|/head\s*>|body(?=[\s>]))", re.IGNORECASE)
SCRIPT_END = re.compile(r"</script\s*>", re.IGNORECASE)
TITLE_START = re.compile(r"<title\b[^<>]*>", re.IGNORECASE)
TITLE_END = re.compile(r"</title", re.IGNORECASE)

CHAPTER = re.compile(r"\.x?html?$", re.IGNORECASE)
CHAPTER_WITHIN = 32 << 20
SLIDE = re.compile(r"ppt/(slides|slideLayouts|slideMasters|notesSlides)/[^/]+\.xml")
PICTURE = re.compile(rb"<p:pic[\s>].*?</p:pic>", re.DOTALL)
MEDIA = "ppt/media/"
PICTURE_END = b"</p:pic>"


def parse_office(file: BinaryIO, kind: str) -> Iterator[Page | Notice]:
    """Markdown, then notices about what could not be read."""
    result = extract(file, kind)
    yield from told(result.content, result)


def parse_html(file: BinaryIO, kind: str) -> Iterator[Page | Notice]:
    """The body as markdown, below the title. Decoded here: kreuzberg takes all for UTF-8."""
    source, encoding = decode(whole(file))
    title, body = without_head(source)
    result = extract(shallow(body).encode("utf-8", errors="replace"), kind)
    text = result.content
    if title and not text.startswith(f"# {title}\n"):
        text = f"# {title}\n\n{text}"
    yield from told(text, result)
    yield from notices(encoding, replaced=False)


def parse_epub(file: BinaryIO, kind: str) -> Iterator[Page | Notice]:
    """A book, with its chapters made shallow where they are deep."""
    try:
        book = shallow_book(file)
    except filetype.ZIP_DAMAGE:  # kreuzberg may read the rest
        book = whole(file)
    result = extract(book, kind)
    yield from told(result.content, result)


def parse_pptx(file: BinaryIO, kind: str) -> Iterator[Page | Notice]:
    """A presentation. One picture without data makes kreuzberg refuse it; then without pictures."""
    try:
        result = extract(file, kind)
    except Failure as failure:
        if "Image" not in failure.detail:
            raise
        with reading(filetype.NAMES[kind]):
            rebuilt = without_pictures(file)
        result = extract(rebuilt, kind)
    yield from told(result.content, result)


def parse_open_document(file: BinaryIO, kind: str) -> Iterator[Page | Notice]:
    """OpenDocument by kreuzberg; presentations, which it has no reader for, by ourselves."""
    with reading(filetype.NAMES[kind]), zipfile.ZipFile(file) as archive:
        if b"encryption-data" in archive.read("META-INF/manifest.xml"):
            raise Failure("FILE_ENCRYPTED", "The OpenDocument file asks for a password.")
        text = read_presentation(archive.read("content.xml")) if kind == filetype.ODP else None
    if text is None:
        yield from parse_office(file, kind)
    else:
        yield from told(text)


def told(text: str, result: kreuzberg.ExtractionResult | None = None) -> Iterator[Page | Notice]:
    """The pages, and what their reader says about them."""
    yield from pages_of(text)
    if "\ufffd" in text:
        yield Notice("CONTENT_REPLACED", "Some characters can't be read and stand as \ufffd.")
    for warning in result.processing_warnings[:WARNINGS_TOLD] if result else []:
        yield Notice("PARTS_SKIPPED", f"{str(warning.message)[:MESSAGE_CHARACTERS]}.")


def extract(source: BinaryIO | bytes, kind: str) -> kreuzberg.ExtractionResult:
    """What kreuzberg finds in a file of this media type."""
    data = source if isinstance(source, bytes) else whole(source)
    with reading(filetype.NAMES[kind]):
        return kreuzberg.extract_bytes_sync(data, kind, config=CONFIG)


def whole(file: BinaryIO) -> bytes:
    """All bytes of a file."""
    file.seek(0)
    return file.read()


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns what a library says about a bad file into a failure of that file.

    A panic in Rust arrives as a `BaseException` of a class that can't be imported.
    """
    try:
        yield
    except (Failure, MemoryError, GeneratorExit):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = " ".join(str(error).split())[:MESSAGE_CHARACTERS]
        encrypted = re.search("encrypted|password", said, re.IGNORECASE)
        code = "FILE_ENCRYPTED" if encrypted else "FILE_UNREADABLE"
        raise Failure(code, f"As {name} it can't be read ({said}).") from error


# HTML ------------------------------------------------------------------------------------


def without_head(source: str) -> tuple[str, str]:
    """Title and the rest: kreuzberg writes the head's meta tags into the text as a block."""
    start, end = head_span(source)
    return title_of(source[start:end]), source[:start] + source[end:]


def head_span(source: str) -> tuple[int, int]:
    """Where the head begins and ends; an empty span where there is none.

    Never looks for the end inside a script, which may write one. Each step goes on where the one
    before ended: a single pattern for all of it took the square of what a page may hold.
    """
    start = HEAD_START.search(source, 0, HEAD_WITHIN)
    mark = HEAD_MARK.search(source, start.end(), HEAD_WITHIN) if start else None
    while start and mark:
        match mark.group()[1:5].lower():
            case "/hea":
                return start.start(), mark.end()
            case "body":
                return start.start(), mark.start()
        script = SCRIPT_END.search(source, mark.end(), HEAD_WITHIN)
        mark = HEAD_MARK.search(source, script.end(), HEAD_WITHIN) if script else None
    return 0, 0


def title_of(head: str) -> str:
    """The words of a head's title."""
    start = TITLE_START.search(head)
    end = TITLE_END.search(head, start.end()) if start else None
    return " ".join(html.unescape(head[start.end() : end.start()]).split()) if start and end else ""


# EPUB ------------------------------------------------------------------------------------


def shallow_book(file: BinaryIO) -> bytes:
    """The book, with the chapters changed that kreuzberg would leave out something of."""
    with zipfile.ZipFile(file) as archive:
        changed = dict(shallow_chapters(archive))
        if not changed:
            return whole(file)
        rebuilt = io.BytesIO()
        with zipfile.ZipFile(rebuilt, "w") as target:
            for entry in archive.infolist():
                target.writestr(entry.filename, changed.get(entry.filename) or archive.read(entry))
    return rebuilt.getvalue()


def shallow_chapters(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """Name and new source of each chapter that lies too deep."""
    for entry in archive.infolist():
        if CHAPTER.search(entry.filename) and entry.file_size <= CHAPTER_WITHIN:
            source = archive.read(entry).decode("utf-8", errors="surrogateescape")
            changed = shallow(source)
            if changed is not source:
                yield entry.filename, changed.encode("utf-8", errors="surrogateescape")


# pptx ------------------------------------------------------------------------------------


def without_pictures(file: BinaryIO) -> bytes:
    """The presentation without pictures and the shapes that show them; they hold no text."""
    rebuilt = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(rebuilt, "w") as target:
        for entry in source.infolist():
            if entry.filename.startswith(MEDIA):
                continue  # it may be what is damaged
            data = source.read(entry)
            if SLIDE.fullmatch(entry.filename):
                data = without_shapes(data)
            target.writestr(entry.filename, data)
    return rebuilt.getvalue()


def without_shapes(slide: bytes) -> bytes:
    """A slide without picture shapes. Looks no further than the last end of one."""
    end = slide.rfind(PICTURE_END) + len(PICTURE_END)
    return PICTURE.sub(b"", slide[:end]) + slide[end:]


# odp -------------------------------------------------------------------------------------

WHITE = {"text:s": " ", "text:tab": "\t", "text:line-break": "\n"}
BLOCKS = {"text:p", "text:h"}


def read_presentation(xml: bytes) -> str:
    """The paragraphs of an OpenDocument `content.xml` as markdown, a heading for each slide.

    Refuses a document type, and with it every entity.
    """
    blocks: list[str] = []
    words: list[str] = []
    open_blocks: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "draw:page":
            blocks.append(f"## {attributes.get('draw:name', '')}".rstrip())
        if name in BLOCKS:
            open_blocks.append(name)
        characters(WHITE.get(name, ""))

    def end(name: str) -> None:
        if name in BLOCKS:
            open_blocks.pop()
            blocks.append("".join(words).strip())
            words.clear()

    def characters(text: str) -> None:
        if open_blocks:
            words.append(text)

    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(xml, True)  # noqa: FBT003 - expat takes it by position only
    return "\n\n".join(filter(None, blocks))
