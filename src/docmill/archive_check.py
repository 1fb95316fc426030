"""Looks at a zip's directory before a parser unpacks it, so that a bomb is refused unopened.

The office parser's own limits did not stop anything when they were tried, so these stand first;
the limits of the child process stand behind them.
"""

import copy
import io
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO

from docmill.errors import Failure

MAX_ENTRIES = 10_000
MAX_BYTES = 1 << 30
MAX_RATIO = 200
RATIO_FLOOR_BYTES = 32 << 20  # below this, however well it is packed, it harms nobody
MAX_DEPTH = 2  # a Word file may hold an Excel file, which may hold a picture container
MAX_DIRECTORY_BYTES = MAX_ENTRIES * 1024
READ_BYTES = 1 << 20

END_RECORD = struct.Struct("<4s4H2LH")
ARCHIVE_SUFFIXES = {
    *(".zip", ".docx", ".docm", ".pptx", ".pptm", ".xlsx", ".xlsm", ".xlsb"),
    *(".odt", ".ods", ".odp", ".epub", ".jar"),
}


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
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError) as error:
        raise Failure("FILE_UNREADABLE", f"The archive is damaged ({error}).") from error


def check_level(file: BinaryIO, tally: Tally, depth: int) -> None:
    """One archive, then those inside it; all of them share one tally."""
    if depth > MAX_DEPTH:
        raise Failure("ARCHIVE_REFUSED", f"Archives lie more than {MAX_DEPTH} deep in each other.")
    check_directory_size(file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        check_declared(entries, tally, packed=file.seek(0, io.SEEK_END))
        for entry in entries:
            check_honest(archive, entry)
        for entry in entries:
            if PurePath(entry.filename).suffix.lower() in ARCHIVE_SUFFIXES:
                check_inner(archive, entry, tally, depth)


def check_directory_size(file: BinaryIO) -> None:
    """Refuse before `zipfile` makes an object of each of a million entries."""
    end = file.seek(0, io.SEEK_END)
    file.seek(max(0, end - 65_557))
    tail = file.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or found + END_RECORD.size > len(tail):
        raise zipfile.BadZipFile("its directory is missing")
    _, _, _, _, entries, size, _, _ = END_RECORD.unpack_from(tail, found)
    if entries > MAX_ENTRIES or size > MAX_DIRECTORY_BYTES:
        raise Failure("ARCHIVE_REFUSED", f"It has more than {MAX_ENTRIES:,} entries.")


def check_declared(entries: list[zipfile.ZipInfo], tally: Tally, packed: int) -> None:
    """The sums that the directory itself states."""
    if any(entry.flag_bits & 1 for entry in entries):
        raise Failure("FILE_ENCRYPTED", "Its archive entries are encrypted.")
    size = sum(entry.file_size for entry in entries)
    tally.entries += len(entries)
    tally.size += size
    if tally.entries > MAX_ENTRIES:
        raise Failure("ARCHIVE_REFUSED", f"It has more than {MAX_ENTRIES:,} entries.")
    if tally.size > MAX_BYTES:
        raise Failure(
            "ARCHIVE_REFUSED", f"It unpacks to {tally.size:,} bytes, {MAX_BYTES:,} are allowed."
        )
    if size > RATIO_FLOOR_BYTES and size > MAX_RATIO * packed:
        raise Failure("ARCHIVE_REFUSED", f"It unpacks to more than {MAX_RATIO} times its size.")


def check_honest(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Unpack without keeping, and refuse an entry that holds more than it says.

    Costs about a third of a second per 100 MB; other readers unpack to the end whatever is said.
    """
    if entry.compress_type == zipfile.ZIP_STORED:
        return
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        raise NotImplementedError("an entry is packed by a method that office files don't use")
    unbounded = copy.copy(entry)
    unbounded.file_size = MAX_BYTES  # `zipfile` stops where the directory says, lie or not
    read = 0
    with archive.open(unbounded) as stream:
        while block := stream.read(READ_BYTES):
            read += len(block)
            if read > entry.file_size:
                raise Failure("ARCHIVE_REFUSED", "An entry holds more than the directory says.")


def check_inner(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, tally: Tally, depth: int) -> None:
    """An archive inside the archive; one that isn't a zip after all harms nobody."""
    with archive.open(entry) as stream:
        if stream.read(2) != b"PK":
            return
    check_level(io.BytesIO(archive.read(entry)), tally, depth + 1)
