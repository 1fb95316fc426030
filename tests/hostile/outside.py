"""Files that point outside themselves: to files of the machine, and to servers that listen."""

from collections.abc import Callable
from functools import partial

from docmill import filetype
from hostile.archives import replaced, with_entries
from hostile.cases import case
from made_files import docx, pdf
from made_office import OFFICE, epub, mail, odf, relation, relations, rtf

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
ENTITY = '<!DOCTYPE a [<!ENTITY x SYSTEM "{url}">]>'
PASSWD = "file:///etc/passwd"


def word_document(body: str, before: str = "") -> bytes:
    """A Word file whose document is this XML."""
    whole = f"{before}<w:document {W}><w:body>{body}</w:body></w:document>"
    return docx("", **{"word/document.xml": whole.encode()})


def pdf_outside(url: str) -> bytes:
    """Actions, a script, and a link."""
    action = b"<</S/URI/URI(%b)>>" % url.encode()
    script = b"/OpenAction<</S/JavaScript/JS(app.launchURL\\('%b'\\))>>" % url.encode()
    link = b"/Annots[<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A" + action + b">>]"
    whole = pdf("the ferry").replace(b"/Catalog", b"/Catalog" + script)
    return whole.replace(b"/Type/Page/", b"/Type/Page" + link + b"/AA<</O" + action + b">>/")


def docx_outside(url: str) -> bytes:
    """A template, a picture and a link."""
    kinds = ("attachedTemplate", "image", "hyperlink")
    links = relations(
        "".join(
            relation(kind, url, number, ' TargetMode="External"')
            for number, kind in enumerate(kinds, start=1)
        )
    )
    body = (
        f'<w:p><w:r><w:t>ferry</w:t></w:r><w:hyperlink r:id="rId3" xmlns:r="{OFFICE}"/></w:p>'
        f'<w:p><w:r><w:fldChar w:fldCharType="begin"/><w:instrText>INCLUDETEXT "{url}"'
        '</w:instrText><w:fldChar w:fldCharType="end"/></w:r></w:p>'
    )
    names = ("word/_rels/document.xml.rels", "word/_rels/settings.xml.rels")
    return with_entries(word_document(body), dict.fromkeys(names, links))


def docx_entity(url: str) -> bytes:
    """An entity that lies elsewhere."""
    return word_document("<w:p><w:r><w:t>ferry &x;</w:t></w:r></w:p>", ENTITY.format(url=url))


def odt_outside(url: str) -> bytes:
    """An entity and a picture."""
    picture = f'<draw:image xlink:href="{url}" xmlns:xlink="x"/>'
    whole = odf(filetype.ODT, "text", f"<text:p>ferry &x;{picture}</text:p>")
    return replaced(whole, "content.xml", lambda xml: ENTITY.format(url=url).encode() + xml)


def html_outside(url: str) -> bytes:
    """All that a browser would fetch."""
    return (
        f'{ENTITY.format(url=url)}<html><head><base href="{url}"><link rel=stylesheet href="{url}">'
        f'<meta http-equiv=refresh content="0;{url}"></head><body>ferry &x;<img src="{url}">'
        f'<iframe src="{url}"></iframe><object data="{url}"></object><script src="{url}"></script>'
    ).encode()


def xml_outside(url: str) -> bytes:
    """An entity."""
    return f"{ENTITY.format(url=url)}<a>ferry &x;</a>".encode()


def epub_outside(url: str) -> bytes:
    """A picture and a frame."""
    return epub(f'<p>ferry</p><img src="{url}"/><iframe src="{url}"></iframe>')


def rtf_outside(url: str) -> bytes:
    """A field and a template."""
    field = '{\\field{\\*\\fldinst INCLUDETEXT "' + url + '"}{\\fldrslt ferry}}'
    return rtf(field + "{\\*\\template " + url + "}")


def mail_outside(url: str) -> bytes:
    """A picture, and a part that lies elsewhere."""
    where = f'Content-Type: message/external-body; access-type=URL; URL="{url}"\r\n'
    page = f'--b\r\nContent-Type: text/html\r\n\r\nferry<img src="{url}">'
    kind = 'Content-Type: multipart/mixed; boundary="b"\r\nMIME-Version: 1.0\r\n'
    return mail(f"{page}\r\n--b\r\n{where}\r\n--b--", kind)


MAKERS: dict[str, Callable[[str], bytes]] = {
    "outside.pdf": pdf_outside,
    "outside.docx": docx_outside,
    "outside-entity.docx": docx_entity,
    "outside.odt": odt_outside,
    "outside.html": html_outside,
    "outside.xml": xml_outside,
    "outside.epub": epub_outside,
    "outside.rtf": rtf_outside,
    "outside.eml": mail_outside,
}
for _name, _make in MAKERS.items():
    case(_name, "FILE_UNREADABLE" if _name.endswith(".odt") else "completed")(
        partial(_make, PASSWD)
    )
