"""The documentation as a site: whole in a browser, at any width, with nothing from elsewhere."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from seeing import PATIENT

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))


class Silent(SimpleHTTPRequestHandler):
    """Serves a folder, and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, built as `make site` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir"]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run([*command, str(folder)], cwd=ROOT, env=env, check=True, capture_output=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_every_page_stands_by_itself_and_fits_a_phone(site: str, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": 360, "height": 740})
    for name in PAGES:
        answer = page.goto(f"{site}/{name}.html")
        assert answer is not None
        assert answer.status == 200
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert page.evaluate(wide) is False, f"{name} is wider than a phone"
    assert PAGES
    assert [url for url in asked if not url.startswith((site, "data:"))] == []


def test_a_newcomer_finds_by_words(site: str, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(site)
    box = page.get_by_role("textbox", name="Search")
    found = page.locator(".md-search-result__link").first
    box.click()  # with which the site begins to read its index
    ready = page.get_by_text("Type to start searching")
    expect(ready).to_be_visible(timeout=PATIENT)
    box.press_sequentially("come from edge functions")
    expect(found).to_contain_text("edge functions", timeout=PATIENT)
    page.goto(found.evaluate("link => link.href"))  # a click may come between two lists of results
    expect(page.get_by_role("heading", level=1)).to_contain_text("Come from edge functions")
