"""Small real documents, good and bad, made byte by byte."""

import io
import os
import zipfile
import zlib
from typing import Any
from uuid import uuid4

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
CONTENT_TYPES = "[Content_Types].xml"


def noise() -> bytes:
    """Bytes of no type that docmill knows, and never the same twice."""
    return b"\0\1\2" + os.urandom(253)


def book(pages: int, repeat: int = 40) -> bytes:
    """A PDF of so many pages, each with its number so many times, and never the same twice."""
    return pdf(uuid4().hex, *(f"page {n} " * repeat for n in range(1, pages)))


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page."""
    return pdf_of(pdf_objects([f"BT /F 9 Tf 9 9 Td ({text}) Tj ET" for text in pages]))


def pdf_objects(contents: list[str], more: str = "") -> list[bytes]:
    """A PDF's objects: catalogue, pages, a font, then each page and what it draws."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(contents)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(contents)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for at, content in enumerate(contents):
        place = f"/Parent 2 0 R/MediaBox[0 0 9000 99]/Contents {5 + 2 * at} 0 R"
        resources = f"/Resources<</Font<</F 3 0 R>>{more}>>"
        objects += [f"<</Type/Page{place}{resources}>>".encode(), pdf_stream(content.encode())]
    return objects


def pdf_that_calls_itself() -> bytes:
    """A form that draws itself twice: PDFium takes memory until it is killed."""
    return pdf_with_broken_pages("")


def pdf_with_broken_pages(*pages: str) -> bytes:
    """As `pdf`, but a page without a text draws a form that draws itself twice."""
    calls = f"/XObject<</X {4 + 2 * len(pages)} 0 R>>"
    contents = [f"BT /F 9 Tf 9 9 Td ({text}) Tj ET" if text else "/X Do" for text in pages]
    kind = f"/Type/XObject/Subtype/Form/BBox[0 0 99 99]/Resources<<{calls}>>"
    return pdf_of([*pdf_objects(contents, calls), pdf_stream(b"/X Do /X Do", kind.encode())])


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
