"""What the page costs a server: requests and kB a minute, in every state it can be in.

Counts, not times: they are the same on every machine. Nothing stands against them.
"""

import gzip
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import Bench, Row, Skipped
from playwright.sync_api import Page, expect, sync_playwright

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from made_files import book
from running import Docmill

PAGE = Path(__file__).parent.parent / "src" / "docmill" / "web" / "page"
DOCUMENTS = 150


@dataclass
class Traffic:
    """Answers to a page, and how many bytes each was: its headers and its packed body."""

    statuses: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def listen(self, page: Page) -> None:
        """Count from now on."""
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.responseReceivedExtraInfo", self._headers)
        session.on("Network.dataReceived", self._data)

    def _headers(self, event: dict[str, Any]) -> None:
        self.statuses[event["requestId"]] = event["statusCode"]
        self._add(event, len(event["headersText"]))

    def _data(self, event: dict[str, Any]) -> None:
        self._add(event, event["encodedDataLength"])

    def _add(self, event: dict[str, Any], size: int) -> None:
        self.sizes[event["requestId"]] = self.sizes.get(event["requestId"], 0) + size

    def rows(self, state: str, seconds: float) -> Iterator[Row]:
        """What came, as rows."""
        answers, total = len(self.statuses), sum(self.sizes.values())
        unchanged = sum(status == 304 for status in self.statuses.values())
        yield Row(
            line="page",
            what=f"the page asks, {state}",
            unit="requests a minute",
            ours=[60 * answers / seconds],
            note=f"{unchanged} of {answers} unchanged, {total / max(1, answers):,.0f} bytes each",
        )
        yield Row(
            line="page",
            what=f"the page takes, {state}",
            unit="kB a minute",
            ours=[60 * total / seconds / 1000],
        )


def weight() -> str:
    """All files of the page, as they are and as they are sent."""
    contents = [path.read_bytes() for path in PAGE.iterdir()]
    packed = sum(len(gzip.compress(content)) for content in contents)
    return f"{len(contents)} files, {sum(map(len, contents)):,} bytes, packed {packed:,}"


@contextmanager
def a_docmill(folder: Path) -> Iterator[Docmill]:
    docmill = Docmill(folder, "--workers", "1")
    yield docmill
    docmill.stop()


def measured(
    page: Page, state: str, seconds: int, during: Callable[[float], None]
) -> Iterator[Row]:
    """Count what the page asks while `during` runs its course."""
    traffic = Traffic()
    traffic.listen(page)
    began = time.monotonic()
    during(began + seconds)
    yield from traffic.rows(state, time.monotonic() - began)


def watch(page: Page, until: float) -> None:
    """Let the time pass, with the browser's events coming in."""
    while time.monotonic() < until:
        page.wait_for_timeout(200)


def run(bench: Bench) -> Iterator[Row]:
    """Rows for every state, in the order in which the page comes to it."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        raise Skipped("there is no Chromium; `make test` installs one, or CHROMIUM names it")
    seconds = bench.size(60, 5)
    print(f"  the page: {weight()}")
    with a_docmill(bench.folder / "data") as docmill, sync_playwright() as playwright:
        for number in range(DOCUMENTS):
            docmill.upload(f"{number}.txt", f"text {number}".encode())
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        page = browser.new_page()
        load = Traffic()
        load.listen(page)
        page.goto(docmill.url)
        expect(page.get_by_role("button", name=f"Searchable {DOCUMENTS}")).to_be_visible(
            timeout=120_000
        )
        page.wait_for_timeout(1000)
        yield Row(
            line="page",
            what="the page's first visit",
            unit="bytes",
            ours=[sum(load.sizes.values())],
            note=f"{len(load.sizes)} answers",
        )

        def wait(ends: float) -> None:
            watch(page, ends)

        def one_long_document(ends: float) -> None:
            while time.monotonic() < ends:
                document_id = docmill.upload("long.pdf", book(1500))
                while time.monotonic() < ends and not docmill.status(document_id)["done"]:
                    page.wait_for_timeout(200)

        yield from measured(page, "documents, nothing to do", seconds, wait)
        yield from measured(page, "documents, one is worked on", seconds, one_long_document)
        docmill.http.post("/operator/stages/parse", json={"paused": True})
        for number in range(DOCUMENTS):
            docmill.upload(f"waiting {number}.txt", f"waiting {number}".encode())
        page.wait_for_timeout(3000)
        yield from measured(page, "documents, 30 visible ones wait", seconds, wait)
        page.goto(f"{docmill.url}/operator")
        page.wait_for_timeout(2000)
        yield from measured(page, "operator, nothing happens", seconds, wait)
        browser.close()
