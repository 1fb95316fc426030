"""What a file is, by its content; its name only decides between kinds of text.

A name is what a stranger typed. A PDF named `.docx` is a PDF, and random bytes are nothing.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO

# For people, before they choose a file.
SUPPORTED = (
    "PDF", "Word", "PowerPoint", "Excel", "OpenDocument", "HTML", "EPUB", "RTF", "e-mail",
    "Markdown", "CSV", "Jupyter notebooks", "plain text",
)  # fmt: skip

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XLSM = "application/vnd.ms-excel.sheet.macroEnabled.12"
XLSB = "application/vnd.ms-excel.sheet.binary.macroEnabled.12"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
ODP = "application/vnd.oasis.opendocument.presentation"
EPUB = "application/epub+zip"
DOC = "application/msword"
XLS = "application/vnd.ms-excel"
PPT = "application/vnd.ms-powerpoint"
MSG = "application/vnd.ms-outlook"
ENCRYPTED_OFFICE = "application/x-encrypted-office"
OLE = "application/x-ole-storage"
ZIP = "application/zip"
RTF = "application/rtf"
HTML = "text/html"
EML = "message/rfc822"
IPYNB = "application/x-ipynb+json"
JSON = "application/json"
XML = "application/xml"
MARKDOWN = "text/markdown"
CSV = "text/csv"
TSV = "text/tab-separated-values"
TEXT = "text/plain"
UNKNOWN = "application/octet-stream"

NAMES = {
    PDF: "PDF",
    DOCX: "Word (docx)",
    PPTX: "PowerPoint (pptx)",
    XLSX: "Excel (xlsx)",
    XLSM: "Excel (xlsm)",
    XLSB: "Excel (xlsb)",
    ODT: "OpenDocument text",
    ODS: "OpenDocument spreadsheet",
    ODP: "OpenDocument presentation",
    EPUB: "EPUB",
    DOC: "Word (doc)",
    XLS: "Excel (xls)",
    PPT: "PowerPoint (ppt)",
    MSG: "an Outlook message",
    ENCRYPTED_OFFICE: "an encrypted office file",
    OLE: "an OLE file of no known program",
    ZIP: "a zip archive",
    RTF: "RTF",
    HTML: "HTML",
    EML: "a mail",
    IPYNB: "a Jupyter notebook",
    JSON: "JSON",
    XML: "XML",
    MARKDOWN: "Markdown",
    CSV: "CSV",
    TSV: "tab-separated text",
    TEXT: "text",
}

BY_SUFFIX = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".docm": DOCX,
    ".dotx": DOCX,
    ".pptx": PPTX,
    ".pptm": PPTX,
    ".ppsx": PPTX,
    ".potx": PPTX,
    ".xlsx": XLSX,
    ".xltx": XLSX,
    ".xlsm": XLSM,
    ".xlsb": XLSB,
    ".odt": ODT,
    ".ods": ODS,
    ".odp": ODP,
    ".epub": EPUB,
    ".doc": DOC,
    ".dot": DOC,
    ".xls": XLS,
    ".ppt": PPT,
    ".pps": PPT,
    ".msg": MSG,
    ".rtf": RTF,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".eml": EML,
    ".ipynb": IPYNB,
    ".json": JSON,
    ".xml": XML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".csv": CSV,
    ".tsv": TSV,
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
    ".rst": TEXT,
}
TEXT_LIKE = {HTML, EML, IPYNB, JSON, XML, MARKDOWN, CSV, TSV, TEXT}

MAGIC = [
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"{\\rtf", RTF),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"BM", "image/bmp"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypmif1", "image/heic"),
    (4, b"ftypavif", "image/avif"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
]
WITH_BINARY_BODY = {"image/bmp"}  # its two bytes of magic are also how a text about BMW begins

HEAD_BYTES = 65536
PDF_HEADER_WITHIN = 1024  # ISO 32000-1, annex H.3.4.1, note 13
SECTOR_SHIFTS = {9, 12}  # [MS-CFB] 2.2
NO_SECTOR = 0xFFFFFFFA  # from here on, numbers are marks and no sectors ([MS-CFB] 2.1)
MAX_OLE_SECTORS = 4096  # a chain in a circle ends too
UTF_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

ZIP_DAMAGE = (  # what `zipfile` raises on archives that are not as they should be
    *(zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError),
    *(zlib.error, struct.error, RuntimeError, OverflowError),
)
BY_ZIP_FOLDER = [("word/", DOCX), ("ppt/", PPTX), ("xl/", XLSX)]
BY_MIMETYPE_ENTRY = {ODT: ODT, ODS: ODS, ODP: ODP, EPUB: EPUB} | {
    f"{kind}-template": kind for kind in (ODT, ODS, ODP)
}
BY_OLE_STREAM = [
    ("EncryptedPackage", ENCRYPTED_OFFICE),
    ("WordDocument", DOC),
    ("PowerPoint Document", PPT),
    ("Workbook", XLS),
    ("Book", XLS),
    ("__properties_version1.0", MSG),
]

CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\v\f\r\x1a\x1b"))
# Nothing in it is tried twice: parts that could give back took years for thirty comments in a row.
HTML_START = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+)?+(?:(?><!--.*?-->)\s*+)*+<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)
NOTEBOOK = re.compile(rb'\s*\{.*"(?:cells|nbformat)"\s*:', re.DOTALL)
MAIL_HEADER = re.compile(
    rb"^(from|to|cc|subject|date|received|message-id|mime-version|return-path|delivered-to"
    rb"|content-type|x-mailer):",
    re.IGNORECASE | re.MULTILINE,
)
MAIL_HEADERS_NEEDED = 3
MAIL_START = re.compile(rb"\s*(?:From |[!-9;-~]+[ \t]*:)")  # RFC 5322, 2.2; `From ` is mbox's


def media_type(file: BinaryIO, filename: str) -> str:
    """The media type of an open, seekable file; `UNKNOWN` where the content is no known kind.

    Reads its first 64 KiB, and the directory where it is a zip or OLE container.
    """
    head = file.read(HEAD_BYTES)
    match by_magic(head):
        case "application/zip":
            return zip_kind(file)
        case "application/x-ole-storage":
            return ole_kind(file)
        case str(kind):
            return kind
    if has_pdf_header(head, filename):
        return PDF
    return text_kind(head, filename) if is_text(head) else UNKNOWN


def correction(kind: str, filename: str) -> str | None:
    """A sentence where the content is not what the name says, else None."""
    suffix = PurePath(filename).suffix.lower()
    named = BY_SUFFIX.get(suffix)
    if named in {None, kind} or {named, kind} <= TEXT_LIKE or {named, kind} <= {XLSX, XLSM}:
        return None
    return f"The name ends in {suffix}, but the content is {NAMES.get(kind, kind)}; that counts."


def by_magic(head: bytes) -> str | None:
    """The kind that a fixed mark at a fixed place tells."""
    for offset, mark, kind in MAGIC:
        if head.startswith(mark, offset) and not (kind in WITH_BINARY_BODY and is_text(head)):
            return kind
    return None


def has_pdf_header(head: bytes, filename: str) -> bool:
    """Whether a PDF begins here; a text that only speaks of `%PDF-` is none."""
    found = head[: PDF_HEADER_WITHIN + 5].find(b"%PDF-")
    if found <= 0:
        return found == 0
    return not (BY_SUFFIX.get(PurePath(filename).suffix.lower()) in TEXT_LIKE and is_text(head))


def is_text(head: bytes) -> bool:
    """Whether these bytes can be text: a byte order mark, or hardly any control characters."""
    if head.startswith(UTF_BOMS):
        return True
    controls = len(head) - len(head.translate(None, CONTROLS))
    return controls * 100 <= len(head)


def text_kind(head: bytes, filename: str) -> str:
    """The kind of a text: by its name, else by how it begins."""
    named = BY_SUFFIX.get(PurePath(filename).suffix.lower())
    if named == IPYNB:
        return IPYNB if NOTEBOOK.match(head) else JSON
    if named == EML and not MAIL_START.match(head):
        return TEXT
    if named in TEXT_LIKE:
        return str(named)
    if HTML_START.match(head):
        return HTML
    if NOTEBOOK.match(head):
        return IPYNB
    return EML if is_mail(head) else TEXT


def is_mail(head: bytes) -> bool:
    """Whether this begins with a block of mail headers."""
    block = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    found = {name.lower() for name in MAIL_HEADER.findall(block)}
    return len(found) >= MAIL_HEADERS_NEEDED and MAIL_HEADER.match(block) is not None


def zip_kind(file: BinaryIO) -> str:
    """The kind of a zip by the names in its directory. A broken zip is a plain one."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if "mimetype" in names:
                with archive.open("mimetype") as entry:
                    return BY_MIMETYPE_ENTRY.get(
                        entry.read(200).decode("ascii", "replace").strip(), ZIP
                    )
    except ZIP_DAMAGE:
        return ZIP
    for folder, kind in BY_ZIP_FOLDER:
        if "[Content_Types].xml" in names and any(name.startswith(folder) for name in names):
            return excel_kind(names) if kind == XLSX else kind
    return ZIP


def excel_kind(names: list[str]) -> str:
    """Which of the three Excel containers this is."""
    if "xl/workbook.bin" in names:
        return XLSB
    return XLSM if "xl/vbaProject.bin" in names else XLSX


def ole_kind(file: BinaryIO) -> str:
    """The kind of an OLE container by the streams that lie at its top."""
    try:
        streams = set(top_streams(file))
    except (struct.error, IndexError, ValueError):
        return OLE
    return next((kind for stream, kind in BY_OLE_STREAM if stream in streams), OLE)


def top_streams(file: BinaryIO) -> Iterator[str]:
    """The names directly under the root of an OLE container ([MS-CFB] 2.6).

    Only these count: a mail may carry a whole Word file in a storage further down.
    """
    entries = directory_entries(file)
    waiting, seen = [struct.unpack_from("<I", entries[0], 76)[0]], set()
    while waiting:
        number = waiting.pop()
        if number in seen or number >= len(entries):
            continue
        seen.add(number)
        (length,) = struct.unpack_from("<H", entries[number], 64)
        yield entries[number][: max(length - 2, 0)].decode("utf-16-le")
        waiting += struct.unpack_from("<II", entries[number], 68)


def directory_entries(file: BinaryIO) -> list[bytes]:
    """The 128-byte entries of an OLE container's directory, by its chain of sectors."""
    file.seek(0)
    header = file.read(512)
    (shift,) = struct.unpack_from("<H", header, 30)
    if shift not in SECTOR_SHIFTS:
        raise ValueError("no OLE container has sectors of this size")
    size = 1 << shift

    def read(sector: int) -> bytes:
        file.seek((sector + 1) * size)
        return file.read(size)

    def table_sectors() -> Iterator[int]:
        yield from struct.unpack_from("<109I", header, 76)
        (further,) = struct.unpack_from("<I", header, 68)
        for _ in range(MAX_OLE_SECTORS):
            if further >= NO_SECTOR:
                return
            *sectors, further = struct.unpack(f"<{size // 4}I", read(further))
            yield from sectors

    tables = list(table_sectors())
    entries: list[bytes] = []
    (sector,) = struct.unpack_from("<I", header, 48)
    for _ in range(MAX_OLE_SECTORS):
        if sector >= NO_SECTOR:
            break
        data = read(sector)
        entries += [data[at : at + 128] for at in range(0, len(data), 128)]
        table, place = divmod(sector, size // 4)
        (sector,) = struct.unpack_from("<I", read(tables[table]), place * 4)
    return entries
