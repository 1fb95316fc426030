"""Hostile PDFs: bombs, circles, depths and counts."""

import zlib

from hostile.archives import MIB, deflated
from hostile.cases import case
from made_files import (
    one_page,
    pdf,
    pdf_of,
    pdf_of_many_strokes,
    pdf_stream,
    pdf_that_calls_itself,
    pdf_with_broken_pages,
)


@case("form-calls-itself.pdf", "PARSER_OUT_OF_MEMORY", heavy=True)
def form_calls_itself() -> bytes:
    return pdf_that_calls_itself()


@case("bad-page-in-a-book.pdf", "completed: PARTS_SKIPPED", heavy=True)
def bad_page() -> bytes:
    return pdf_with_broken_pages(*["ferry"] * 140, "", *["harbour"] * 60)


@case("bad-pages-only.pdf", "PARSER_OUT_OF_MEMORY", heavy=True)
def bad_pages() -> bytes:
    return pdf_with_broken_pages(*[""] * 200)


@case("spaces-1-gib.pdf", "PARSER_OUT_OF_MEMORY", heavy=True)
def spaces() -> bytes:
    packed = deflated(b" " * MIB, 1024)
    return pdf_of([*one_page(b""), pdf_stream(packed, b"/Filter/FlateDecode")])


@case("packed-in-packed.pdf", "PARSER_OUT_OF_MEMORY", heavy=True)
def packed_in_packed() -> bytes:
    twice = zlib.compress(deflated(b"\0" * MIB, 1024), 9)
    filters = b"/Filter[/FlateDecode/FlateDecode]"
    return pdf_of([*one_page(b""), pdf_stream(twice, filters)])


@case("strokes-5-million.pdf", "PARSER_OUT_OF_MEMORY", heavy=True)
def strokes() -> bytes:
    return pdf_of_many_strokes(5_500_000)


@case("arrays-200000-deep.pdf", "completed: NO_TEXT, PAGE_WITHOUT_TEXT")
def nested_arrays() -> bytes:
    return pdf_of([*one_page(b"/Deep " + b"[" * 200_000 + b"]" * 200_000), pdf_stream(b"")])


@case("content-arrays-200000-deep.pdf", "completed: NO_TEXT, PAGE_WITHOUT_TEXT")
def nested_content() -> bytes:
    return pdf_of([*one_page(b""), pdf_stream(b"[" * 200_000 + b"]" * 200_000 + b" TJ")])


@case("saved-states-2-million.pdf", "completed: NO_TEXT, PAGE_WITHOUT_TEXT")
def saved_states() -> bytes:
    return pdf_of([*one_page(b""), pdf_stream(b"q " * 2_000_000)])


@case("page-tree-in-a-circle.pdf", "completed: NO_TEXT, PARTS_SKIPPED")
def page_tree_circle() -> bytes:
    return pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R]/Count 5>>"])


@case("page-tree-20000-deep.pdf", "completed: NO_TEXT, PARTS_SKIPPED")
def page_tree_deep() -> bytes:
    deep = 20_000
    nodes = [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % (n + 3) for n in range(deep)]
    page = b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 9 9]>>" % (deep + 1)
    return pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", *nodes, page])


@case("a-million-pages.pdf", "OUTPUT_TOO_LARGE")
def million_pages() -> bytes:
    return pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 1000000>>"])


@case("one-page-100000-times.pdf", "completed: NO_TEXT, PAGE_WITHOUT_TEXT", heavy=True)
def same_page() -> bytes:
    """As many pages as a document may have."""
    kids = b"3 0 R " * 100_000
    tree = b"<</Type/Pages/Kids[" + kids + b"]/Count 100000>>"
    return pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", tree, *one_page(b"")[2:], pdf_stream(b"")])


@case("length-is-itself.pdf", "completed: NO_TEXT, PAGE_WITHOUT_TEXT")
def length_is_itself() -> bytes:
    return pdf_of([*one_page(b""), b"<</Length 4 0 R>>stream\nBT ET\nendstream"])


@case("tables-in-a-circle.pdf", "completed")
def xref_circle() -> bytes:
    whole = pdf("a ferry")
    start = whole.rfind(b"xref\n0 ")
    return whole.replace(b"trailer<<", b"trailer<</Prev %d" % start)


@case("font-draws-itself.pdf", "completed")
def type3_draws_itself() -> bytes:
    font = (
        b"<</Type/Font/Subtype/Type3/FontBBox[0 0 9 9]/FontMatrix[1 0 0 1 0 0]/FirstChar 97"
        b"/LastChar 97/Widths[9]/Encoding<</Differences[97/a]>>/CharProcs<</a 6 0 R>>"
        b"/Resources<</Font<</F 5 0 R>>>>>>"
    )
    text = pdf_stream(b"BT /F 9 Tf (aaaa) Tj ET")
    return pdf_of([*one_page(b"/Resources<</Font<</F 5 0 R>>>>"), text, font, text])


@case("font-is-its-own-descendant.pdf", "completed")
def type0_circle() -> bytes:
    font = (
        b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[5 0 R]"
        b"/ToUnicode 6 0 R>>"
    )
    cmap = pdf_stream(
        b"/Loop usecmap\n1 begincodespacerange <00> <ff> endcodespacerange", b"/UseCMap 6 0 R"
    )
    text = pdf_stream(b"BT /F 9 Tf <00410042> Tj ET")
    return pdf_of([*one_page(b"/Resources<</Font<</F 5 0 R>>>>"), text, font, cmap])


@case("cmap-of-all-ranges.pdf", "completed")
def cmap_ranges() -> bytes:
    """Ten thousand lines, each of which maps four thousand million codes."""
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 6 0 R>>"
    ranges = b"<00000000> <ffffffff> <0041>\n" * 10_000
    cmap = pdf_stream(b"10000 beginbfrange\n" + ranges + b"endbfrange")
    text = pdf_stream(b"BT /F 9 Tf (ABC) Tj ET")
    return pdf_of([*one_page(b"/Resources<</Font<</F 5 0 R>>>>"), text, font, cmap])


@case("object-stream-in-itself.pdf", "completed: NO_TEXT, PAGE_WITHOUT_TEXT")
def object_stream_in_itself() -> bytes:
    packed = zlib.compress(b"4 0 <</Type/ObjStm>>")
    body = pdf_stream(packed, b"/Type/ObjStm/N 1/First 4/Extends 4 0 R/Filter/FlateDecode")
    return pdf_of([*one_page(b""), body])


@case("password.pdf", "FILE_ENCRYPTED")
def pdf_password() -> bytes:
    proofs = b"/O(" + b"o" * 32 + b")/U(" + b"u" * 32 + b")"
    lock = b"/Encrypt<</Filter/Standard/V 1/R 2" + proofs + b"/P -4>>/ID[(a)(a)]"
    return pdf("secret").replace(b"trailer<<", b"trailer<<" + lock)
