"""The page's files: whole, kept for ever, packed."""

import re
from pathlib import Path

import httpx2
from playwright.sync_api import Page, expect

from running import Docmill

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src" / "docmill" / "web" / "page"
NAMES = {path.name for path in PAGE.iterdir() if path.name != "index.html"}


def version(http: httpx2.Client) -> str:
    match = re.search(r'data-version="(\w{16})"', http.get("/").text)
    assert match
    return match[1]


def test_every_file_is_served_once_for_ever(docmill: Docmill) -> None:
    where = f"/page/{version(docmill.http)}"
    for name in NAMES:
        answer = docmill.http.get(f"{where}/{name}")
        assert answer.status_code == 200, name
        assert answer.content == (PAGE / name).read_bytes(), name
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "require-trusted-types-for 'script'" in answer.headers["content-security-policy"]
    plain = docmill.http.get(f"{where}/main.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_files_of_another_version_and_outside_are_not_there(docmill: Docmill) -> None:
    known = version(docmill.http)
    for path in (
        "/page/0000000000000000/main.js",
        f"/page/{known}/index.html",
        f"/page/{known}/..%2f..%2fconfig.py",
        f"/page/{known}/page.py",
        "/page/main.js",
    ):
        assert docmill.http.get(path).status_code == 404, path


def test_the_page_is_asked_for_each_time_and_names_all_its_modules(docmill: Docmill) -> None:
    page = docmill.http.get("/")
    assert page.headers["cache-control"] == "no-cache"
    modules = set(re.findall(r'modulepreload" href="/page/\w+/([\w-]+\.js)"', page.text))
    assert modules == {name for name in NAMES if name.endswith(".js")}
    again = docmill.http.get("/operator", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304


def test_a_second_visit_fetches_the_page_alone(docmill: Docmill, page: Page) -> None:
    page.goto(docmill.url)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto(f"{docmill.url}/operator")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    fetched = page.evaluate(
        """performance.getEntriesByType("resource")
           .filter(({ transferSize }) => transferSize > 0).map(({ name }) => name)"""
    )
    assert [url for url in fetched if "/page/" in url] == []
