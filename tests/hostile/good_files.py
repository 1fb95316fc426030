"""Good files of every kind, and what becomes of one that is cut off."""

import json
from collections.abc import Iterator

from docmill import filetype
from made_files import docx, pdf
from made_office import cell, epub, mail, notebook, odf, pptx, rtf, shape, xlsx


def cut_off(whole: bytes) -> Iterator[bytes]:
    """A file that ends early, in several places."""
    for share in (0.05, 0.35, 0.65, 0.95):
        yield whole[: max(1, int(len(whole) * share))]


def whole_files() -> dict[str, bytes]:
    """A small good file of every kind that can be made here; each says `ferry`."""
    row = '<table:table-row><table:table-cell office:value-type="string"><text:p>ferry</text:p>'
    return {
        "a.pdf": pdf("ferry"),
        "a.docx": docx("ferry"),
        "a.xlsx": xlsx(f'<row r="1">{cell("A1", "ferry")}</row>'),
        "a.pptx": pptx(shape("ferry")),
        "a.odt": odf(filetype.ODT, "text", "<text:p>ferry</text:p>"),
        "a.ods": odf(
            filetype.ODS,
            "spreadsheet",
            f'<table:table table:name="One">{row}</table:table-cell></table:table-row>'
            "</table:table>",
        ),
        "a.odp": odf(filetype.ODP, "presentation", "<draw:page><text:p>ferry</text:p></draw:page>"),
        "a.epub": epub("<p>ferry</p>"),
        "a.rtf": rtf("ferry"),
        "a.html": b"<html><head><title>a</title></head><body><p>ferry</p></body></html>",
        "a.ipynb": notebook("ferry"),
        "a.eml": mail("ferry"),
        "a.json": json.dumps({"a": "ferry"}).encode(),
        "a.xml": b"<a>ferry</a>",
        "a.md": b"# ferry",
        "a.csv": b"ferry,harbour\n",
        "a.tsv": b"ferry\tharbour\n",
        "a.txt": b"ferry",
    }
