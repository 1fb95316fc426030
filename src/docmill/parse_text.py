"""Text files: find the encoding, decode in a stream, cut long ones into pages.

Memory stays flat up to files of a GiB: nothing holds more than a page and a block.
"""

import codecs
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import BinaryIO, NamedTuple

import charset_normalizer

from docmill.errors import Failure
from docmill.model import Notice, Page

PAGE_CHARACTERS = 100_000
BLOCK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 18

# UTF-32 before UTF-16: its little-endian mark begins with that of UTF-16.
BOMS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
# What the world wrote before UTF-8. With all of Python's codecs allowed, short texts are taken
# for Urdu or the alphabet of an old Mac.
CANDIDATES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("koi8_r", "cp866", "gb18030", "big5", "cp932", "euc_jp", "iso2022_jp", "cp949"),
]
WESTERN = re.compile(
    r"[\x00-\x7f\xa0ÀÂÄÇÈÉÊËÎÏÑÔÖÙÛÜßàáâäåæçèéêëíîïñóôöøùúûüœ£€§°«»\u2013-\u201d\u2026]*"
)


class Encoding(NamedTuple):
    """A codec's name, and whether it is a guess."""

    codec: str
    guessed: bool


UTF8 = Encoding("utf-8", guessed=False)  # checked to the last byte


def parse_text(file: BinaryIO) -> Iterator[Page | Notice]:
    """The pages of a text file: one up to 100,000 characters, else cut at ends of paragraphs."""
    encoding = encoding_of(file)
    replaced = False
    with decoding(file, encoding) as characters:
        for number, text in enumerate(cut(characters.read), start=1):
            replaced = replaced or "\ufffd" in text
            yield Page(number, text)
    yield from notices(encoding, replaced=replaced and encoding != UTF8)


def notices(encoding: Encoding, *, replaced: bool) -> Iterator[Notice]:
    """What a reader should know about how bytes became characters."""
    if encoding.guessed:
        yield Notice("ENCODING_GUESSED", f"The text's encoding was guessed to be {encoding.codec}.")
    if replaced:
        yield Notice(
            "CONTENT_REPLACED", f"Some bytes are not {encoding.codec} and were replaced by \ufffd."
        )


@contextmanager
def decoding(file: BinaryIO, encoding: Encoding) -> Iterator[io.TextIOWrapper]:
    """The characters of a file, from its beginning, with line feeds as line ends."""
    file.seek(0)
    characters = io.TextIOWrapper(file, encoding.codec, errors="replace")
    try:
        yield characters
    finally:
        characters.detach()


def pages_of(text: str) -> Iterator[Page]:
    """A text in memory as pages."""
    place = 0

    def read(size: int) -> str:
        nonlocal place
        place += size
        return text[place - size : place]

    yield from map(Page, count(1), cut(read))


def cut(read: Callable[[int], str]) -> Iterator[str]:
    """The text in pieces of at most `PAGE_CHARACTERS`; at least one, however empty."""
    rest = read(PAGE_CHARACTERS + 1)
    while len(rest) > PAGE_CHARACTERS:
        end = page_end(rest)
        yield rest[:end].rstrip("\n")
        rest = rest[end:].lstrip("\n")
        rest += read(PAGE_CHARACTERS + 1 - len(rest))
    yield rest


def page_end(text: str) -> int:
    """Where to cut: after the last paragraph, line or word in the second half of a page."""
    for mark in ("\n\n", "\n", " "):
        found = text.rfind(mark, PAGE_CHARACTERS // 2, PAGE_CHARACTERS)
        if found >= 0:
            return found + len(mark)
    return PAGE_CHARACTERS


def decode(data: bytes) -> tuple[str, Encoding]:
    """A small text as a whole, with line feeds as line ends."""
    encoding = encoding_of_bytes(data)
    text = data.decode(encoding.codec, errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def encoding_of_bytes(data: bytes) -> Encoding:
    """As `encoding_of`, for a text in memory."""
    if marked := by_bom(data[:4]):
        return marked
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return guess(sample(data, error.start))
    return UTF8


def encoding_of(file: BinaryIO) -> Encoding:
    """What a byte order mark says, else UTF-8 where the whole file is, else a guess.

    The guess looks around the first place that is not UTF-8.
    """
    file.seek(0)
    if marked := by_bom(file.read(4)):
        return marked
    file.seek(0)
    wrong = first_byte_that_is_not_utf8(file)
    if wrong is None:
        return UTF8
    start = max(0, wrong - SAMPLE_BYTES // 2)
    file.seek(start)
    return guess(sample(file.read(SAMPLE_BYTES), wrong - start))


def by_bom(head: bytes) -> Encoding | None:
    """The encoding that a byte order mark tells."""
    return next(
        (Encoding(codec, guessed=False) for bom, codec in BOMS if head.startswith(bom)), None
    )


def first_byte_that_is_not_utf8(file: BinaryIO) -> int | None:
    """The place of the first block with a byte that is no UTF-8, else None."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    place = 0
    while block := file.read(BLOCK_BYTES):
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:
            return place + error.start
        place += len(block)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return max(0, place - 1)
    return None


def sample(data: bytes, wrong: int) -> bytes:
    """Whole lines around a place, so that no character of several bytes is cut apart."""
    if len(data) < SAMPLE_BYTES:
        return data
    start = data.find(b"\n", 0, wrong) + 1
    end = data.rfind(b"\n", wrong) + 1
    return data[start : end or len(data)]


def guess(data: bytes) -> Encoding:
    """The likeliest encoding of bytes that are not UTF-8."""
    if is_damaged_utf8(data):
        return Encoding("utf-8", guessed=True)
    best = charset_normalizer.from_bytes(data, cp_isolation=CANDIDATES).best()
    if best is None and is_readable(data):
        return Encoding("utf-8", guessed=True)
    if best is None:
        raise Failure("FILE_UNREADABLE", "It is text in no encoding that docmill knows.")
    if best.encoding in {"cp1250", "cp1254", "cp1257"} and is_western(data):
        return Encoding("cp1252", guessed=True)
    return Encoding(best.encoding, guessed=True)


def is_damaged_utf8(data: bytes) -> bool:
    """UTF-8 with a few bad bytes: far more characters of several bytes than errors."""
    text = data.decode("utf-8", errors="replace")
    wrong = text.count("\ufffd")
    right = sum(character > "\x7f" for character in text) - wrong
    return right > 10 * wrong


def is_readable(data: bytes) -> bool:
    """Text of which nine characters in ten can be read, such as a log with some stray bytes."""
    text = data.decode("utf-8", errors="replace")
    return text.count("\ufffd") * 10 <= len(text)


def is_western(data: bytes) -> bool:
    """Whether these bytes are letters of western Europe in the code page of western Europe.

    Its siblings differ in few letters, so the guess between them is thrown by a short text.
    """
    try:
        return WESTERN.fullmatch(data.decode("cp1252")) is not None
    except UnicodeDecodeError:
        return False
