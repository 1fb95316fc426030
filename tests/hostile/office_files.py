"""Hostile office files and books: bombs, entities, depths, repetitions, passwords."""

from docmill import filetype
from hostile.archives import MIB, replaced, with_bomb
from hostile.cases import case
from hostile.outside import word_document
from made_files import docx
from made_office import S, cell, epub, odf, pptx, shape, xlsx
from made_ole import ole

DEEP = 100_000

# bombs -----------------------------------------------------------------------------------


@case("bomb.docx", "ARCHIVE_REFUSED")
def docx_bomb() -> bytes:
    return with_bomb(docx("x"), "word/big.xml", bytes(MIB), 300)


@case("bomb.xlsx", "ARCHIVE_REFUSED")
def xlsx_bomb() -> bytes:
    return with_bomb(xlsx(""), "xl/big.xml", bytes(MIB), 300)


@case("bomb.pptx", "ARCHIVE_REFUSED")
def pptx_bomb() -> bytes:
    return with_bomb(pptx(shape("x")), "ppt/big.xml", bytes(MIB), 300)


@case("bomb.odt", "ARCHIVE_REFUSED")
def odt_bomb() -> bytes:
    return with_bomb(odf(filetype.ODT, "text", "x"), "big.xml", bytes(MIB), 300)


@case("bomb.epub", "ARCHIVE_REFUSED")
def epub_bomb() -> bytes:
    return with_bomb(epub("x"), "big.xhtml", bytes(MIB), 300)


@case("chapter-of-600-mb.epub", "completed: NO_TEXT", heavy=True)
def epub_below_the_ratio() -> bytes:
    """Packed just well enough to be taken for a book."""
    whole = replaced(epub("x"), "c.xhtml", lambda _: None)
    return with_bomb(whole, "c.xhtml", b"<p>a</p>" * (MIB // 8), 600)


@case("ten-megabytes-of-text.docx", "completed", heavy=True)
def docx_below_the_ratio() -> bytes:
    """A lot of text, and no bomb."""
    return docx(*["a ferry and a harbour " * 1000] * 480)


# entities --------------------------------------------------------------------------------

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + "]>"
)


@case("laughs.docx", "completed: NO_TEXT")
def docx_laughs() -> bytes:
    return word_document("<w:p><w:r><w:t>&a11;</w:t></w:r></w:p>", LAUGHS)


@case("laughs.xlsx", "FILE_UNREADABLE")
def xlsx_laughs() -> bytes:
    strings = f'{LAUGHS}<sst xmlns="{S}"><si><t>&a11;</t></si></sst>'
    return xlsx('<row r="1"><c r="A1" t="s"><v>0</v></c></row>', strings)


@case("laughs.odt", "FILE_UNREADABLE")
def odt_laughs() -> bytes:
    whole = odf(filetype.ODT, "text", "<text:p>&a11;</text:p>")
    return replaced(whole, "content.xml", lambda xml: LAUGHS.encode() + xml)


@case("laughs.odp", "FILE_UNREADABLE")
def odp_laughs() -> bytes:
    whole = odf(filetype.ODP, "presentation", "<draw:page><text:p>&a11;</text:p></draw:page>")
    return replaced(whole, "content.xml", lambda xml: LAUGHS.encode() + xml)


@case("laughs.xml", "completed")
def xml_laughs() -> bytes:
    return (LAUGHS + "<a>&a11;</a>").encode()


@case("laughs.html", "completed")
def html_laughs() -> bytes:
    return (LAUGHS + "<html><body><p>ferry &a11;</p></body></html>").encode()


# depths ----------------------------------------------------------------------------------


@case("tables-100000-deep.docx", "completed", "PARSER_DIED")
def docx_deep() -> bytes:
    text = "<w:p><w:r><w:t>ferry</w:t></w:r></w:p>"
    return word_document("<w:tbl><w:tr><w:tc>" * DEEP + text + "</w:tc></w:tr></w:tbl>" * DEEP)


@case("controls-100000-deep.docx", "completed", "PARSER_DIED")
def docx_deep_controls() -> bytes:
    text = "<w:p><w:r><w:t>ferry</w:t></w:r></w:p>"
    return word_document("<w:sdt><w:sdtContent>" * DEEP + text + "</w:sdtContent></w:sdt>" * DEEP)


@case("groups-100000-deep.pptx", "completed", "PARSER_DIED")
def pptx_deep() -> bytes:
    return pptx("<p:grpSp>" * DEEP + shape("ferry") + "</p:grpSp>" * DEEP)


@case("lists-100000-deep.odt", "completed", "PARSER_DIED")
def odt_deep() -> bytes:
    opened, closed = "<text:list><text:list-item>" * DEEP, "</text:list-item></text:list>" * DEEP
    return odf(filetype.ODT, "text", f"{opened}<text:p>ferry</text:p>{closed}")


@case("frames-100000-deep.odp", "completed")
def odp_deep() -> bytes:
    inside = "<draw:frame>" * DEEP + "<text:p>ferry</text:p>" + "</draw:frame>" * DEEP
    return odf(filetype.ODP, "presentation", f"<draw:page>{inside}</draw:page>")


# repetitions -----------------------------------------------------------------------------


@case("two-thousand-million-spaces.odt", "completed")
def odt_spaces() -> bytes:
    return odf(filetype.ODT, "text", '<text:p>a<text:s text:c="2000000000"/>b</text:p>')


@case("one-value-in-every-cell.ods", "FILE_UNREADABLE")
def ods_repeated() -> bytes:
    value = '<table:table-cell office:value-type="string" table:number-columns-repeated="16384">'
    row = f'<table:table-row table:number-rows-repeated="1048576">{value}<text:p>ferry</text:p>'
    ends = "</table:table-cell></table:table-row></table:table>"
    return odf(filetype.ODS, "spreadsheet", f'<table:table table:name="One">{row}{ends}')


@case("chapter-10000-times.epub", "PARSER_OUT_OF_MEMORY", heavy=True)
def epub_spine() -> bytes:
    return epub("<p>ferry and harbour</p>" * 20_000, '<itemref idref="c"/>' * 10_000)


@case("far-cell.xlsx", "completed")
def far_cell() -> bytes:
    """Two cells, and seventeen thousand million between them."""
    near, far = cell("A1", "ferry"), cell("XFD1048576", "harbour")
    return xlsx(f'<row r="1">{near}</row><row r="1048576">{far}</row>')


@case("cells-14-million.xlsx", "PARSER_OUT_OF_MEMORY", heavy=True)
def many_cells() -> bytes:
    return xlsx(("<row>" + "<c><v>1</v></c>" * 14 + "</row>") * 1_000_000)


@case("long-string-100000-times.xlsx", "PARSER_OUT_OF_MEMORY", heavy=True)
def shared_string() -> bytes:
    strings = f'<sst xmlns="{S}"><si><t>{"ferry " * 100_000}</t></si></sst>'
    rows = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 100_001))
    return xlsx(rows, strings)


# damage and passwords --------------------------------------------------------------------


@case("picture-without-data.pptx", "completed")
def pptx_picture() -> bytes:
    fill = '<p:blipFill><a:blip r:embed="rId99"/></p:blipFill>'
    return pptx(f"<p:pic><p:nvPicPr/>{fill}<p:spPr/></p:pic>" + shape("ferry"))


@case("password.docx", "FILE_ENCRYPTED")
def office_password() -> bytes:
    return ole({"EncryptedPackage": b"x" * 5000, "EncryptionInfo": b"\x04\0\x04\0" + bytes(80)})


@case("password-of-the-archive.docx", "FILE_ENCRYPTED")
def zip_password() -> bytes:
    locked = bytearray(docx("secret"))
    place = locked.find(b"PK\x01\x02")
    while place >= 0:
        locked[place + 8] |= 1  # of the entry's flags
        place = locked.find(b"PK\x01\x02", place + 4)
    return bytes(locked)


@case("password.odt", "FILE_ENCRYPTED")
def odt_password() -> bytes:
    locked = b"<m><manifest:encryption-data/></m>"
    return replaced(odf(filetype.ODT, "text", "x"), "META-INF/manifest.xml", lambda _: locked)
