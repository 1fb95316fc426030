"""Archives that are not what an archiver would write, and the hostile ones among them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from hostile.cases import case
from made_files import docx, zip_of

MIB = 1 << 20
RAW = -15  # without zlib's own head and tail, as archives have it


def deflated(block: bytes, times: int, wbits: int = 15) -> bytes:
    """A block many times over, packed, without ever being whole in memory."""
    packer = zlib.compressobj(1, wbits=wbits)
    return b"".join([*(packer.compress(block) for _ in range(times)), packer.flush()])


def with_bomb(archive: bytes, name: str, block: bytes, times: int) -> bytes:
    """An archive with one more entry: a block many times over."""
    packed, size, checksum = deflated(block, times, RAW), len(block) * times, 0
    for _ in range(times):
        checksum = zlib.crc32(block, checksum)
    end = archive.rfind(b"PK\x05\x06")
    *_, count, _, start, _ = struct.unpack_from("<4s4H2LH", archive, end)
    facts = struct.pack("<5H3L2H", 20, 0, 8, 0, 0, checksum, len(packed), size, len(name), 0)
    entry = b"PK\x03\x04" + facts + name.encode() + packed
    listed = b"PK\x01\x02\x14\0" + facts + struct.pack("<3H2L", 0, 0, 0, 0, start) + name.encode()
    directory = archive[start:end] + listed
    place, count = start + len(entry), count + 1
    record = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), place, 0)
    return archive[:start] + entry + directory + record


def replaced(archive: bytes, name: str, change: Callable[[bytes], bytes | None]) -> bytes:
    """An archive with one entry changed, or taken out."""
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        entries = {entry: old.read(entry) for entry in old.namelist()}
    changed = change(entries.pop(name))
    return zip_of(entries if changed is None else {**entries, name: changed})


def with_entries(archive: bytes, more: dict[str, str]) -> bytes:
    """An archive with more entries, or entries of the same name a second time."""
    out = io.BytesIO(archive)
    with zipfile.ZipFile(out, "a") as target:
        for name, data in more.items():
            target.writestr(name, data)
    return out.getvalue()


@case("paths.docx", "completed")
def docx_paths() -> bytes:
    """Entries whose names lead elsewhere, and one that is a link."""
    out = io.BytesIO(docx("ferry"))
    with zipfile.ZipFile(out, "a") as archive:
        for folder in ("../../../../tmp/", "/etc/", "word\\..\\..\\", "C:\\"):
            archive.writestr(f"{folder}escaped", "x")
        link = zipfile.ZipInfo("word/media/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return out.getvalue()


@case("link-to-a-file.docx", "completed: NO_TEXT")
def docx_link() -> bytes:
    """The document itself is a link in the archive."""
    link = zipfile.ZipInfo("word/document.xml")
    link.external_attr = 0o120777 << 16
    out = io.BytesIO(replaced(docx("x"), link.filename, lambda _: None))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    return out.getvalue()


@case("size-is-a-lie.docx", "ARCHIVE_REFUSED")
def docx_lies() -> bytes:
    honest = docx("x", **{"word/big.xml": b"\0" * (8 * MIB)})
    return honest.replace(struct.pack("<I", 8 * MIB), struct.pack("<I", 1000))


@case("million-entries.docx", "ARCHIVE_REFUSED")
def docx_entries() -> bytes:
    """A directory of a million entries that all name one file of no bytes."""
    many = 1_000_000
    listed = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, *[0] * 7, 1, *[0] * 6) + b"a"
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, *[0] * 7, 1, 0) + b"a"
    size = many * len(listed)
    end_64 = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, many, many, size, len(local)
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(local) + size, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size & 0xFFFFFFFF, len(local), 0)
    return local + listed * many + end_64 + locator + end


@case("archives-ten-deep.docx", "ARCHIVE_REFUSED")
def docx_nested() -> bytes:
    nested = zip_of({"a.txt": "x"})
    for _ in range(10):
        nested = zip_of({"a.zip": nested})
    return docx("x", **{"word/embeddings/a.zip": nested})


@case("two-types-at-once.docx", "completed")
def two_types() -> bytes:
    """An archive that has the parts of a Word, an Excel and a PowerPoint file."""
    return with_entries(docx("ferry"), {"xl/workbook.xml": "<x/>", "ppt/presentation.xml": "<x/>"})
