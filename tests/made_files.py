"""Small real documents, good and bad, made byte by byte."""

import io
import json
import struct
import zipfile
import zlib
from typing import Any

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
CONTENT_TYPES = "[Content_Types].xml"


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for at, text in enumerate(pages):
        place = f"/Parent 2 0 R/MediaBox[0 0 9000 99]/Contents {5 + 2 * at} 0 R"
        objects += [
            f"<</Type/Page{place}/Resources<</Font<</F 3 0 R>>>>>>".encode(),
            pdf_stream(f"BT /F 9 Tf 9 9 Td ({text}) Tj ET".encode()),
        ]
    return pdf_of(objects)


def pdf_that_calls_itself() -> bytes:
    """A form that draws itself twice: PDFium takes memory until it is killed."""
    calls = b"/Resources<</XObject<</F 5 0 R>>>>"
    form = pdf_stream(b"/F Do /F Do", b"/Type/XObject/Subtype/Form/BBox[0 0 99 99]" + calls)
    return pdf_of([*one_page(calls), pdf_stream(b"/F Do"), form])


def pdf_of_many_strokes(strokes: int) -> bytes:
    """A page that takes CPU time and little memory per stroke."""
    packed = zlib.compress(b"0 0 m 9 9 l S\n" * strokes)
    return pdf_of([*one_page(b""), pdf_stream(packed, b"/Filter/FlateDecode")])


def one_page(entries: bytes) -> list[bytes]:
    """The objects 1 to 3 of a PDF with one page, whose content is object 4."""
    return [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R%s>>" % entries,
    ]


def pdf_stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n" % (len(data), entries) + data + b"\nendstream"


def pdf_of(objects: list[bytes]) -> bytes:
    """A PDF with these objects, numbered from 1, the catalogue first."""
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Size %d/Root 1 0 R>>\n" % (len(objects) + 1)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % table)


def zipped(**entries: bytes | str) -> bytes:
    """A zip with these entries, for names that are Python names."""
    return zip_of(entries)


def zip_of(entries: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def docx(*paragraphs: str, **more: bytes) -> bytes:
    """A Word file; `more` are further entries."""
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return zip_of(
        {
            CONTENT_TYPES: '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
            "_rels/.rels": "<Relationships "
            'xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
            'relationships/officeDocument" Target="word/document.xml"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>',
            **more,
        }
    )


def open_document(kind: str, content: str, manifest: str = "<manifest/>") -> bytes:
    """An OpenDocument file of this media type."""
    return zip_of({"mimetype": kind, "META-INF/manifest.xml": manifest, "content.xml": content})


PACKAGE = "http://schemas.openxmlformats.org/package/2006/"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
OFFICE_MEDIA = "application/vnd.openxmlformats-officedocument"


def office_package(kind: str, main: str, parts: dict[str, Any], links: str = "") -> bytes:
    """An Open XML file: `main` is the part that everything begins with, `links` its relations."""
    folder, name = main.split("/")
    types = f'<Override PartName="/{main}" ContentType="{OFFICE_MEDIA}.{kind}.main+xml"/>'
    return zip_of(
        {
            CONTENT_TYPES: f'<Types xmlns="{PACKAGE}content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Default Extension="xml" ContentType="application/xml"/>{types}</Types>',
            "_rels/.rels": relations(relation("officeDocument", main)),
            f"{folder}/_rels/{name}.rels": relations(links),
            **parts,
        }
    )


def relations(inside: str) -> str:
    return f'<Relationships xmlns="{PACKAGE}relationships">{inside}</Relationships>'


def relation(kind: str, target: str, number: int = 1, more: str = "") -> str:
    return f'<Relationship Id="rId{number}" Type="{OFFICE}/{kind}" Target="{target}"{more}/>'


S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def xlsx(rows: str, strings: str = "") -> bytes:
    """An Excel file with one sheet, whose rows and shared strings are XML."""
    return office_package(
        "spreadsheetml.sheet",
        "xl/workbook.xml",
        {
            "xl/workbook.xml": f'<workbook xmlns="{S}" xmlns:r="{OFFICE}">'
            '<sheets><sheet name="One" sheetId="1" r:id="rId1"/></sheets></workbook>',
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{S}"><sheetData>{rows}</sheetData>'
            "</worksheet>",
            "xl/sharedStrings.xml": strings or f'<sst xmlns="{S}"/>',
        },
        relation("worksheet", "worksheets/sheet1.xml")
        + relation("sharedStrings", "sharedStrings.xml", 2),
    )


def cell(place: str, text: str) -> str:
    """A cell that holds its text itself."""
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


P = "http://schemas.openxmlformats.org/presentationml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"


def pptx(*slides: str, **more: bytes) -> bytes:
    """A PowerPoint file; a slide is what stands in its tree of shapes, see `shape`."""
    numbers = range(1, len(slides) + 1)
    listed = "".join(f'<p:sldId id="{255 + n}" r:id="rId{n}"/>' for n in numbers)
    tree = "<p:nvGrpSpPr/><p:grpSpPr/>"
    return office_package(
        "presentationml.presentation",
        "ppt/presentation.xml",
        {
            "ppt/presentation.xml": f'<p:presentation xmlns:p="{P}" xmlns:r="{OFFICE}">'
            f"<p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
            **{
                f"ppt/slides/slide{n}.xml": f'<p:sld xmlns:p="{P}" xmlns:a="{A}" xmlns:r="{OFFICE}">'
                f"<p:cSld><p:spTree>{tree}{slide}</p:spTree></p:cSld></p:sld>"
                for n, slide in enumerate(slides, start=1)
            },
            **more,
        },
        "".join(relation("slide", f"slides/slide{n}.xml", n) for n in numbers),
    )


def shape(text: str) -> str:
    """A shape with a line of text."""
    return (
        '<p:sp><p:nvSpPr><p:cNvPr id="2" name="a"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>'
        f"<p:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
    )


def epub(chapter: str, spine: str = '<itemref idref="c"/>') -> bytes:
    """A book with one chapter, which its spine may name any number of times."""
    return zip_of(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container version="1.0" '
            'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
            'full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
            "book.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
            'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Book</dc:title></metadata><manifest>'
            '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>'
            f"<spine>{spine}</spine></package>",
            "c.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{chapter}</body></html>',
        }
    )


ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"'
)


def odf(kind: str, family: str, body: str) -> bytes:
    """An OpenDocument file; the family is `text`, `spreadsheet` or `presentation`."""
    inside = f"<office:body><office:{family}>{body}</office:{family}></office:body>"
    return open_document(kind, f"<office:document-content {ODF}>{inside}</office:document-content>")


def rtf(text: str) -> bytes:
    """An RTF file."""
    return b"{\\rtf1\\ansi " + text.encode() + b"}"


def notebook(source: str, **output: Any) -> bytes:
    """A notebook with one code cell."""
    code = {"cell_type": "code", "metadata": {}, "source": source, "execution_count": 1}
    outputs = [output] if output else []
    whole = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [{**code, "outputs": outputs}],
    }
    return json.dumps(whole).encode()


def mail(body: str, more: str = "") -> bytes:
    """A mail; `more` are further header lines, each with its line end."""
    return (
        f"From: a@example.org\r\nTo: b@example.org\r\nSubject: Sails\r\n{more}\r\n{body}".encode()
    )


OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SECTOR = 512
END_OF_CHAIN, FREE, FAT_SECTOR = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def ole(streams: dict[str, bytes]) -> bytes:
    """An OLE container ([MS-CFB], version 3) with up to three streams at its top."""
    chains, sectors = [END_OF_CHAIN], []  # sector 0 is the directory
    places = []
    for data in streams.values():
        padded = data.ljust(4096, b"\0")  # shorter ones would need a second table
        count = -(-len(padded) // SECTOR)
        start = len(chains)
        places.append((start, len(padded)))
        chains += [*range(start + 1, start + count), END_OF_CHAIN]
        sectors.append(padded.ljust(count * SECTOR, b"\0"))
    tables = -(-(len(chains) + 1) // (SECTOR // 4 - 1))
    fat = [*chains, *[FAT_SECTOR] * tables]
    fat += [FREE] * (tables * SECTOR // 4 - len(fat))
    header = OLE_MAGIC + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(10)
    header += struct.pack("<IIIIIIIII", tables, 0, 0, 4096, END_OF_CHAIN, 0, END_OF_CHAIN, 0, 0)[
        :32
    ]
    header += struct.pack(
        "<109I", *(len(chains) + n for n in range(tables)), *[FREE] * (109 - tables)
    )
    entries = [ole_entry("Root Entry", 5, END_OF_CHAIN, 0, child=1)]
    for number, (name, (start, size)) in enumerate(zip(streams, places, strict=True), start=1):
        entries.append(
            ole_entry(name, 2, start, size, right=number + 1 if number < len(streams) else FREE)
        )
    directory = b"".join(entries).ljust(SECTOR, b"\0")
    return (
        header.ljust(SECTOR, b"\0")
        + directory
        + b"".join(sectors)
        + struct.pack(f"<{len(fat)}I", *fat)
    )


def ole_entry(
    name: str, kind: int, start: int, size: int, *, child: int = FREE, right: int = FREE
) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    head = encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded), kind, 1)
    return (
        head + struct.pack("<III", FREE, right, child) + bytes(36) + struct.pack("<IQ", start, size)
    )
