"""Looks at a zip's directory before a parser unpacks it, so that a bomb is refused unopened.

The office parser's own limits did not stop anything when they were tried, so these stand first;
the limits of the child process stand behind them.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO

from docmill.errors import Failure
from docmill.filetype import ZIP_DAMAGE

MAX_ENTRIES = 10_000
MAX_BYTES = 1 << 30
MAX_INNER_BYTES = 256 << 20  # an archive inside is looked at in memory
MAX_RATIO = 200
RATIO_FLOOR_BYTES = 32 << 20  # below this, however well it is packed, it harms nobody
MAX_DEPTH = 2  # a Word file may hold an Excel file, which may hold a picture container
MAX_DIRECTORY_BYTES = MAX_ENTRIES * 1024
PACKED_BYTES = 1 << 16  # are unpacked at once,
BLOCK_BYTES = 1 << 18  # into at most so many

# APPNOTE.TXT 4.3.7, 4.3.14 to 4.3.16, 4.4.4
LOCAL_HEADER = b"PK\x03\x04"
LOCAL = struct.Struct("<4s2xH18x2H")
NAME_IS_UTF8 = 1 << 11
PATCH, STRONGLY_ENCRYPTED = 1 << 5, 1 << 6
END_RECORD = struct.Struct("<4s4H2LH")
END_MARK = b"PK\x05\x06"
END_WITHIN = END_RECORD.size + (1 << 16)
LOCATOR_64 = struct.Struct("<4sLQL")
LOCATOR_64_MARK = b"PK\x06\x07"
END_RECORD_64 = struct.Struct("<4sQ2H2L4Q")
ARCHIVE_SUFFIXES = (
    *(".zip", ".docx", ".docm", ".pptx", ".pptm", ".xlsx", ".xlsm", ".xlsb"),
    *(".odt", ".ods", ".odp", ".epub", ".jar"),
)


@dataclass(slots=True)
class Tally:
    """What an archive and the archives in it hold together."""

    entries: int = field(default=0)
    size: int = field(default=0)


def check_archive(file: BinaryIO) -> None:
    """Raise `ARCHIVE_REFUSED` where a zip would unpack to more than is allowed.

    `FILE_UNREADABLE` where its directory can't be read, `FILE_ENCRYPTED` where entries are.
    """
    try:
        check_level(file, Tally(), depth=0)
    except ZIP_DAMAGE as error:
        raise Failure("FILE_UNREADABLE", f"The archive is damaged ({error}).") from error


def check_level(file: BinaryIO, tally: Tally, depth: int) -> None:
    """One archive, then those inside it; all of them share one tally."""
    if depth > MAX_DEPTH:
        raise Failure("ARCHIVE_REFUSED", f"Archives lie more than {MAX_DEPTH} deep in each other.")
    check_end(file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        check_declared(entries, tally, packed=file.seek(0, io.SEEK_END))
        check_apart(entries, archive.start_dir)
        for entry in entries:
            if may_be_archive(entry, check_honest(file, entry)):
                check_inner(archive, entry, tally, depth)


# the end, which says where the directory is ----------------------------------------------


def check_end(file: BinaryIO) -> None:
    """Refuse before `zipfile` makes an object of each of a million entries."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - END_WITHIN))
    tail = file.read()
    found = tail.rfind(END_MARK)
    if found < 0 or found + END_RECORD.size > len(tail):
        raise zipfile.BadZipFile("its directory is missing")
    if sum(ends_the_file(tail, place) for place in places(tail, END_MARK)) > 1:
        raise zipfile.BadZipFile("it has two directories, and programs differ in which they read")
    _, _, _, _, entries, directory, _, _ = END_RECORD.unpack_from(tail, found)
    more_entries, more_directory = end_64(file, size - len(tail) + found)
    check_count(max(entries, more_entries), max(directory, more_directory))


def places(data: bytes, mark: bytes) -> Iterator[int]:
    """Where a mark stands."""
    place = data.find(mark)
    while place >= 0:
        yield place
        place = data.find(mark, place + 1)


def ends_the_file(tail: bytes, place: int) -> bool:
    """Whether an end record here, with the comment that it announces, reaches to the last byte."""
    if place + END_RECORD.size > len(tail):
        return False
    *_, comment = END_RECORD.unpack_from(tail, place)
    return bool(place + END_RECORD.size + comment == len(tail))


def end_64(file: BinaryIO, end: int) -> tuple[int, int]:
    """Entries and size of the directory of a large archive, which count more; else zeros."""
    if end < LOCATOR_64.size + END_RECORD_64.size:
        return 0, 0
    file.seek(end - LOCATOR_64.size)
    if not file.read(LOCATOR_64.size).startswith(LOCATOR_64_MARK):
        return 0, 0
    file.seek(end - LOCATOR_64.size - END_RECORD_64.size)
    *_, entries, directory, _ = END_RECORD_64.unpack(file.read(END_RECORD_64.size))
    return entries, directory


def check_count(entries: int, directory: int) -> None:
    """Entries, and bytes of the directory that lists them."""
    if entries > MAX_ENTRIES or directory > MAX_DIRECTORY_BYTES:
        raise Failure("ARCHIVE_REFUSED", f"It has more than {MAX_ENTRIES:,} entries.")


# the directory ---------------------------------------------------------------------------


def check_declared(entries: list[zipfile.ZipInfo], tally: Tally, packed: int) -> None:
    """The sums that the directory itself states."""
    if any(entry.flag_bits & 1 for entry in entries):
        raise Failure("FILE_ENCRYPTED", "Its archive entries are encrypted.")
    size = sum(entry.file_size for entry in entries)
    tally.entries += len(entries)
    tally.size += size
    check_count(tally.entries, directory=0)
    if tally.size > MAX_BYTES:
        raise Failure(
            "ARCHIVE_REFUSED", f"It unpacks to {tally.size:,} bytes, {MAX_BYTES:,} are allowed."
        )
    if size > RATIO_FLOOR_BYTES and size > MAX_RATIO * packed:
        raise Failure("ARCHIVE_REFUSED", f"It unpacks to more than {MAX_RATIO} times its size.")


def check_apart(entries: list[zipfile.ZipInfo], directory: int) -> None:
    """Refuse entries that share bytes: a small file can hold a huge one many times over."""
    places = sorted((entry.header_offset, entry.compress_size) for entry in entries)
    for (start, size), (following, _) in pairwise([*places, (directory, 0)]):
        if start + LOCAL.size + size > following:
            raise Failure("ARCHIVE_REFUSED", "Its entries overlap.")


# the entries -----------------------------------------------------------------------------


def check_honest(file: BinaryIO, entry: zipfile.ZipInfo) -> bytes:
    """Unpack without keeping, and refuse an entry that holds more than it says.

    Returns how it begins. Costs a tenth of a second per 100 MB; other readers unpack to the end
    whatever is said. Damaged data is for them to judge: it may be a picture that nobody reads.

    `zipfile` would stop where the directory says, lie or not.
    """
    find(file, entry)
    if entry.compress_type == zipfile.ZIP_STORED:
        return file.read(min(len(LOCAL_HEADER), entry.compress_size))
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        raise NotImplementedError("an entry is packed by a method that office files don't use")
    head, size = b"", 0
    with suppress(zlib.error):
        for block in unpacked(file, entry.compress_size):
            head = head or block[: len(LOCAL_HEADER)]
            size += len(block)
            if size > entry.file_size:
                raise Failure("ARCHIVE_REFUSED", "An entry holds more than the directory says.")
    return head


def find(file: BinaryIO, entry: zipfile.ZipInfo) -> None:
    """Go to an entry's data. Refuses one that says there that it is another."""
    if entry.flag_bits & (PATCH | STRONGLY_ENCRYPTED):
        raise NotImplementedError("an entry is packed in a way that office files don't use")
    file.seek(entry.header_offset)
    mark, flags, name_bytes, extra_bytes = LOCAL.unpack(file.read(LOCAL.size))
    if mark != LOCAL_HEADER:
        raise zipfile.BadZipFile("an entry is not where its directory says")
    name = file.read(name_bytes).decode("utf-8" if flags & NAME_IS_UTF8 else "cp437")
    if name != entry.orig_filename:
        raise zipfile.BadZipFile("an entry has another name than in the directory")
    file.seek(extra_bytes, io.SEEK_CUR)


def unpacked(file: BinaryIO, size: int) -> Iterator[bytes]:
    """What the next `size` bytes unpack to, a block at a time, to the end or to what is damaged."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflate.eof and (packed := file.read(min(size, PACKED_BYTES))):
        size -= len(packed)
        while packed and not inflate.eof:
            yield inflate.decompress(packed, BLOCK_BYTES)
            packed = inflate.unconsumed_tail
    yield inflate.flush()


def may_be_archive(entry: zipfile.ZipInfo, head: bytes) -> bool:
    """Whether an office program might open an entry as an archive."""
    name = entry.filename.rstrip("/.").lower()
    return head.startswith(LOCAL_HEADER) or name.endswith(ARCHIVE_SUFFIXES)


def check_inner(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, tally: Tally, depth: int) -> None:
    """An archive inside the archive; one that can't be opened after all harms nobody."""
    if entry.file_size > MAX_INNER_BYTES:
        raise Failure("ARCHIVE_REFUSED", f"An archive in it has {entry.file_size:,} bytes.")
    inner = io.BytesIO(archive.read(entry))
    try:
        check_level(inner, tally, depth + 1)
    except Failure as failure:
        if failure.code == "ARCHIVE_REFUSED":
            raise
    except ZIP_DAMAGE:
        return
