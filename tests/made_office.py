"""Small real office files, books, notebooks and mails, made byte by byte."""

import json
from typing import Any

from made_files import CONTENT_TYPES, open_document, zip_of

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
                f"ppt/slides/slide{n}.xml": f'<p:sld xmlns:p="{P}" xmlns:a="{A}" '
                f'xmlns:r="{OFFICE}">'
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
            'full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
            "</container>",
            "book.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
            'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Book</dc:title></metadata>'
            '<manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>'
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
