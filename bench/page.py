"""What the page costs a server: requests a minute and bytes a request, in every state it can be in.

Counts of requests and bytes, not times: they are the same on every machine.
"""

import gzip
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from made_files import book
from running import Docmill

PAGE = Path(__file__).parent.parent / "src" / "docmill" / "web" / "page"
SECONDS = 60
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

    def row(self, state: str, seconds: float) -> str:
        """A line of the table."""
        answers, total = len(self.statuses), sum(self.sizes.values())
        unchanged = sum(status == 304 for status in self.statuses.values())
        return (
            f"| {state} | {60 * answers / seconds:.0f} | {unchanged} of {answers} |"
            f" {total / max(1, answers):,.0f} | {60 * total / seconds / 1000:,.1f} |"
        )


def weight() -> str:
    """All files of the page, as they are and as they are sent."""
    contents = [path.read_bytes() for path in PAGE.iterdir()]
    packed = sum(len(gzip.compress(content)) for content in contents)
    return f"{len(contents)} files, {sum(map(len, contents)):,} bytes, packed {packed:,}"


@contextmanager
def a_docmill() -> Iterator[Docmill]:
    folder = Path(tempfile.mkdtemp(prefix="docmill-bench-"))
    docmill = Docmill(folder / "data", "--workers", "1")
    yield docmill
    docmill.stop()
    shutil.rmtree(folder)


def measure(page: Page, state: str, during: Callable[[float], None]) -> None:
    """Count what the page asks while `during` runs its course."""
    traffic = Traffic()
    traffic.listen(page)
    began = time.monotonic()
    during(began + SECONDS)
    print(traffic.row(state, time.monotonic() - began), flush=True)


def watch(page: Page, until: float) -> None:
    """Let the time pass, with the browser's events coming in."""
    while time.monotonic() < until:
        page.wait_for_timeout(200)


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    print(f"the page: {weight()}")
    with a_docmill() as docmill, sync_playwright() as playwright:
        for number in range(DOCUMENTS):
            docmill.upload(f"{number}.txt", f"text {number}".encode())
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        page = browser.new_page()
        load = Traffic()
        load.listen(page)
        print("| state | requests a minute | of them 304 | bytes each | kB a minute |")
        print("|---|---|---|---|---|")
        page.goto(docmill.url)
        expect(page.get_by_role("button", name=f"Searchable {DOCUMENTS}")).to_be_visible(
            timeout=120_000
        )
        page.wait_for_timeout(1000)
        print(f"first visit: {len(load.sizes)} answers, {sum(load.sizes.values()):,} bytes")
        measure(page, "documents, nothing to do", lambda ends: watch(page, ends))

        def one_long_document(ends: float) -> None:
            while time.monotonic() < ends:
                document_id = docmill.upload("long.pdf", book(1500))
                while time.monotonic() < ends and not docmill.status(document_id)["done"]:
                    page.wait_for_timeout(200)

        measure(page, "documents, one is being worked on", one_long_document)
        docmill.http.post("/operator/stages/parse", json={"paused": True})
        for number in range(DOCUMENTS):
            docmill.upload(f"waiting {number}.txt", f"waiting {number}".encode())
        page.wait_for_timeout(3000)
        measure(page, "documents, 30 visible ones wait", lambda ends: watch(page, ends))
        page.goto(f"{docmill.url}/operator")
        page.wait_for_timeout(2000)
        measure(page, "operator, nothing happens", lambda ends: watch(page, ends))
        browser.close()


if __name__ == "__main__":
    main()
