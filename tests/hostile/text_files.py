"""Hostile pages, texts, data, notebooks, mails, OLE containers, and files of two types at once."""

import base64
import random
import struct

from hostile.cases import case
from made_files import docx, pdf
from made_office import mail, notebook, rtf
from made_ole import ole

MIB = 1 << 20


# HTML, text, data ------------------------------------------------------------------------


@case("divs-100000-deep.html", "completed")
def html_deep() -> bytes:
    return b"<html><body>" + b"<div>" * 100_000 + b"ferry" + b"</div>" * 100_000


@case("lists-100000-deep.html", "completed")
def html_lists() -> bytes:
    return b"<html><body>" + b"<ul><li>" * 100_000 + b"ferry"


@case("attribute-50-mb.html", "completed", heavy=True)
def html_attribute() -> bytes:
    return b"<html><body><p title='" + b"x" * 50_000_000 + b"'>ferry</p></body></html>"


@case("scripts-without-end.html", "PARSER_TIMEOUT", heavy=True)
def html_scripts() -> bytes:
    return scripts_without_end(100_000)


def scripts_without_end(many: int) -> bytes:
    """Takes time that grows with the square of their number, and little memory."""
    return b"<html><head>" + b"<script " * many + b"</head><body>ferry</body></html>"


@case("comments-in-a-row.html", "completed")
def html_comments() -> bytes:
    return b"<!---->" * 100_000 + b"<html><body>ferry</body></html>"


@case("cell-spans-all.html", "completed")
def html_spans() -> bytes:
    return b"<html><table><tr><td colspan=2000000000 rowspan=2000000000>ferry</td></tr></table>"


@case("deep.json", "completed")
def json_deep() -> bytes:
    return b"[" * 1_000_000 + b'"ferry"' + b"]" * 1_000_000


@case("deep.ipynb", "FILE_UNREADABLE")
def notebook_deep() -> bytes:
    return b'{"nbformat": 4, "cells": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"


@case("output-20-mb.ipynb", "completed", heavy=True)
def notebook_output() -> bytes:
    return notebook("print(x)", output_type="stream", name="stdout", text="ferry\n" * 3_400_000)


@case("picture-in-base64.ipynb", "completed")
def notebook_picture() -> bytes:
    data = {"image/png": base64.b64encode(random.Random(1).randbytes(5 * MIB)).decode()}
    return notebook("ferry()", output_type="display_data", data=data, metadata={})


@case("nul-bytes.txt", "TYPE_UNSUPPORTED")
def nul_bytes() -> bytes:
    return bytes(10 * MIB)


@case("nul-bytes-in-text.txt", "completed")
def nul_in_text() -> bytes:
    return b"a ferry and a harbour, and so on and so on. " * 9 + b"\0" + b"\n" * 99


@case("one-line-of-10-mb.txt", "completed", heavy=True)
def long_line() -> bytes:
    return b"ferry " * 1_700_000


@case("accents-without-end.txt", "completed")
def accents() -> bytes:
    return b"a" + "\u0301\u0323".encode() * 500_000


@case("heading-of-spaces.md", "completed")
def heading_of_spaces() -> bytes:
    return b"# ferry" + b" " * 90_000 + b"harbour\n" + b"#" * 90_000 + b"\n" + b"> " * 40_000


@case("columns-1-million.csv", "completed")
def wide_csv() -> bytes:
    return b",".join(b"%d" % number for number in range(1_000_000)) + b"\n"


@case("noise.txt", "TYPE_UNSUPPORTED")
def noise() -> bytes:
    return random.Random(7).randbytes(100_000)


@case("groups-200000-deep.rtf", "completed")
def rtf_deep() -> bytes:
    return rtf("{" * 200_000 + "ferry" + "}" * 200_000)


@case("binary-of-two-gib.rtf", "completed")
def rtf_binary() -> bytes:
    return rtf(r"ferry \bin2147483647 x")


# mail, OLE -------------------------------------------------------------------------------

MULTIPART = 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{}"\r\n'


@case("parts-1000-deep.eml", "completed")
def mail_deep() -> bytes:
    inside = "Content-Type: text/plain\r\n\r\nferry\r\n"
    for level in range(1000):
        inside = f"{MULTIPART.format(level)}\r\n--{level}\r\n{inside}\r\n--{level}--\r\n"
    return mail("", inside)


@case("mails-1000-deep.eml", "completed")
def mail_in_mail() -> bytes:
    inside = mail("ferry").decode()
    for _ in range(1000):
        inside = mail(inside, "Content-Type: message/rfc822\r\n").decode()
    return inside.encode()


@case("parts-100000.eml", "completed: PARTS_SKIPPED", heavy=True)
def mail_parts() -> bytes:
    part = "--b\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\n%PDF-\r\n"
    return mail(part * 100_000 + "--b--", MULTIPART.format("b"))


@case("header-of-10-mb.eml", "completed")
def mail_header() -> bytes:
    return mail("ferry", "X-Long: " + "=?utf-8?q?a?= " * 700_000 + "\r\n")


@case("chain-in-a-circle.doc", "FILE_UNREADABLE")
def ole_circle() -> bytes:
    whole = bytearray(ole({"WordDocument": b"\xec\xa5" + b"x" * 9000}))
    table = len(whole) - 512
    struct.pack_into("<2I", whole, table, 0, 1)  # the directory and the stream follow themselves
    return bytes(whole)


@case("noise-inside.doc", "FILE_UNREADABLE")
def ole_noise() -> bytes:
    return ole({"WordDocument": b"\xec\xa5" + random.Random(3).randbytes(20_000), "1Table": b"x"})


@case("noise-inside.xls", "FILE_UNREADABLE")
def xls_noise() -> bytes:
    return ole({"Workbook": b"\x09\x08\x10\0\0\x06\5\0" + random.Random(3).randbytes(20_000)})


@case("noise-inside.ppt", "completed: NO_TEXT")
def ppt_noise() -> bytes:
    return ole({"PowerPoint Document": random.Random(3).randbytes(20_000), "Current User": b"x"})


# two types at once -----------------------------------------------------------------------


@case("pdf-and-archive.pdf", "completed")
def pdf_and_zip() -> bytes:
    return pdf("ferry") + docx("harbour")


@case("archive-and-pdf.docx", "completed")
def zip_and_pdf() -> bytes:
    return docx("ferry") + pdf("harbour")


@case("picture-and-page.html", "TYPE_UNSUPPORTED")
def gif_and_html() -> bytes:
    return b"GIF89a/*" + bytes(99) + b"*/=1;<html><body>ferry</body></html>"
