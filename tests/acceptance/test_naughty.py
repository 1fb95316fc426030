"""Naughty texts are kept exactly or refused, shown as text, and never run."""

import base64
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote
from uuid import uuid4

import httpx2
import pytest
from playwright.sync_api import Page, expect

import naughty
from running import Docmill
from seeing import PATIENT

PAGE = f"<!doctype html><title>x</title><script>{naughty.RUN}</script><p>the lighthouse</p>"


def tus(docmill: Docmill, name: str, content: bytes, **fields: str) -> httpx2.Response:
    """Send a file as the page does."""
    said = {"filename": name, **fields}
    pairs = [f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in said.items()]
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(content)),
        "Upload-Metadata": ",".join(pairs),
        "Content-Type": "application/offset+octet-stream",
    }
    return docmill.http.post("/uploads", headers=headers, content=content)


def raw(docmill: Docmill, name: str, content: bytes, **fields: str) -> httpx2.Response:
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    return docmill.http.post("/documents", headers=headers, content=content, params=fields)


def sent(docmill: Docmill, name: str, content: bytes = b"", **fields: str) -> str:
    """A document of that name; its id."""
    answer = tus(docmill, name, content or uuid4().hex.encode(), **fields)
    assert answer.status_code == 201, answer.text
    return answer.headers["docmill-document-id"]


# kept or refused -------------------------------------------------------------------------


@pytest.mark.parametrize("name", naughty.NAMES)
def test_name_is_kept_exactly_and_a_download_is_saved_under_it(docmill: Docmill, name: str) -> None:
    composed = unicodedata.normalize("NFC", name)
    for send in (tus, raw):
        answer = send(docmill, name, uuid4().hex.encode())
        document = answer.headers.get("docmill-document-id") or answer.json()["document_id"]
        assert docmill.status(document)["filename"] == composed
        assert names_found(docmill, composed, document)
        head = docmill.http.get(f"/documents/{document}/content").headers
        assert_only_saved(head, composed)


def names_found(docmill: Docmill, name: str, document: str) -> bool:
    found = docmill.http.get("/documents", params={"q": name, "page_size": 200}).json()["documents"]
    return document in [one["document_id"] for one in found]


def assert_only_saved(headers: httpx2.Headers, name: str) -> None:
    """The headers make a browser save the bytes, under this name, and run nothing of them."""
    said = headers.get_list("content-disposition")
    assert len(said) == 1
    match = re.fullmatch(r"attachment; filename\*=UTF-8''([A-Za-z0-9_.~%-]+)", said[0])
    assert match, said
    assert unquote(match[1], errors="strict") == name
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert "set-cookie" not in headers


@pytest.mark.parametrize("name", naughty.NO_NAMES)
def test_name_that_could_deceive_or_lead_elsewhere_is_refused(docmill: Docmill, name: str) -> None:
    for send in (tus, raw):
        answer = send(docmill, name, b"x")
        assert answer.status_code in {422, 431}, answer.text
        assert re.match("FILENAME_|HEADERS_TOO_LARGE", answer.json()["code"])
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("text", naughty.TEXTS)
def test_text_is_kept_exactly_wherever_it_stands(docmill: Docmill, text: str) -> None:
    metadata = {text: [text, {"inner": text}]}
    document = sent(
        docmill, "a.txt", collection=text, external_id=text, metadata=json.dumps(metadata)
    )
    shown = docmill.http.get(f"/documents/{document}").json()
    assert (shown["collection"], shown["external_id"]) == (text, text)
    assert shown["metadata"] == metadata
    for asked in ({"collection": text}, {"q": text}):
        listed = docmill.http.get("/documents", params=asked).json()["documents"]
        assert document in [one["document_id"] for one in listed]
    collections = docmill.http.get("/collections", params={"page_size": 200}).json()["collections"]
    assert text in [one["name"] for one in collections]


@pytest.mark.parametrize("text", naughty.TEXTS)
def test_text_is_searched_for_as_it_is(docmill: Docmill, text: str) -> None:
    for mode in ("hybrid", "text", "vector"):
        asked = {"query": text, "mode": mode, "collection": text, "filters": {text: [text]}}
        assert docmill.http.post("/search", json=asked).status_code == 200


def test_texts_as_contents_are_found_by_their_own_words(docmill: Docmill) -> None:
    texts = {f"w{uuid4().hex}": text for text in [*naughty.NAMES, *naughty.TURNED]}
    made = [sent(docmill, "a.txt", f"{mark} {text}\n".encode()) for mark, text in texts.items()]
    for document in made:
        docmill.completed(document)
    for mark, text in texts.items():
        (hit, *_) = docmill.search(mark, mode="text")
        assert "".join(text.split())[:50] in "".join(hit["text"].split())


@pytest.mark.parametrize("text", [*naughty.BROKEN_LINES, "\0", *naughty.LETTERS])
def test_no_header_of_an_answer_repeats_what_a_request_said(docmill: Docmill, text: str) -> None:
    sent_text = quote(text, safe="")
    for path in (f"/documents/{sent_text}", f"/documents?page_token={sent_text}", f"/{sent_text}"):
        answer = docmill.http.get(path)
        assert 400 <= answer.status_code < 500
        assert not {"set-cookie", "location"} & set(answer.headers)


# shown -----------------------------------------------------------------------------------


@pytest.fixture
def calm(page: Page) -> Iterator[Page]:
    """A page on which nothing of a text may run, and that opens no dialog."""
    opened: list[str] = []
    page.on("dialog", lambda dialog: opened.append(dialog.message))
    yield page
    assert opened == []
    assert page.evaluate(f"typeof window.{naughty.MARK}") == "undefined"
    assert page.locator("iframe, object, embed, base, img").count() == 0


def test_page_shows_naughty_texts_as_texts(docmill: Docmill, calm: Page) -> None:
    shelf = f"{naughty.SCRIPTS[0]} {uuid4().hex}"
    names = naughty.NAMES
    for name in names:
        sent(docmill, name, collection=shelf)
    calm.goto(f"{docmill.url}/?collection={quote(shelf)}&q=")
    calm.set_viewport_size({"width": 1280, "height": 6000})
    expect(calm.locator("document-row")).to_have_count(len(names), timeout=PATIENT)
    seen = calm.locator("document-row .name").evaluate_all("rows => rows.map(r => r.textContent)")
    assert sorted(seen) == sorted(unicodedata.normalize("NFC", name) for name in names)


@pytest.mark.parametrize("text", [naughty.SCRIPTS[0], naughty.SCRIPTS[1], naughty.TURNED[0]])
def test_document_with_naughty_texts_is_shown_and_found(
    docmill: Docmill, calm: Page, text: str
) -> None:
    name, mark = naughty.SCRIPTS[1], f"w{uuid4().hex}"
    metadata = json.dumps({text: text})
    content = f"{mark} {text}\n".encode()
    document = sent(docmill, name, content, collection=text, external_id=mark, metadata=metadata)
    docmill.completed(document)
    calm.goto(f"{docmill.url}/view/{document}")
    expect(calm.get_by_role("heading", level=1)).to_have_text(name, timeout=PATIENT)
    expect(calm.locator(".text")).to_contain_text(mark, timeout=PATIENT)
    calm.goto(f"{docmill.url}/search?q={quote(f'{mark} {text}')}")
    expect(calm.locator("#hits li").first).to_contain_text(mark, timeout=PATIENT)
    calm.goto(f"{docmill.url}/view/{quote(text, safe='')}")
    calm.goto(f"{docmill.url}/?sort={quote(text)}&status={quote(text)}&q={quote(mark)}")
    refusal = calm.get_by_text("A field has a value that is not taken.").first
    expect(refusal).to_be_visible(timeout=PATIENT)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", PAGE.encode()),
        (
            "picture.svg",
            f"<svg xmlns='http://www.w3.org/2000/svg' onload='{naughty.RUN}'/>".encode(),
        ),
        (naughty.SCRIPTS[0].replace("/", ""), PAGE.encode()),
    ],
)
def test_download_is_saved_and_never_opened(
    docmill: Docmill, calm: Page, tmp_path: Path, name: str, content: bytes
) -> None:
    document = sent(docmill, name, content + uuid4().hex.encode())
    calm.goto(docmill.url)
    with calm.expect_download() as download:
        calm.evaluate("where => { location.href = where; }", f"/documents/{document}/content")
    download.value.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes().startswith(content)
    assert calm.url.rstrip("/") == docmill.url
