"""One docmill for all acceptance tests; each test makes its own documents."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

import seeing
from running import Docmill


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A folder for docmill's data."""
    folder = Path(tempfile.mkdtemp(prefix="docmill-acceptance-"))
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def docmill(data_dir: Path) -> Iterator[Docmill]:
    """A started docmill with its own embedded PostgreSQL."""
    served = Docmill(data_dir, env={"DOCMILL_MAX_UPLOAD_BYTES": "50MB"})
    yield served
    assert served.stop() == 0, "\n".join(served.started.said)


# Chromium without its windows. Where it is, pages open in it for a fifth of the processor time.
HEADLESS_SHELL = "chromium-headless-shell"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ON_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def chromium() -> str:
    """The system's Chromium; `make test` sees to it that there is one."""
    names = (os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES, CHROMIUM_ON_MAC)
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    assert path, "no Chromium; scripts/ensure-tools.sh says how to get one"
    return path


def headless_chromium() -> str:
    """The quickest Chromium: the one that CHROMIUM names, else the headless one, else any."""
    return ("CHROMIUM" not in os.environ and shutil.which(HEADLESS_SHELL)) or chromium()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """What starts browsers.

    For one module: while it lives, its event loop runs in this thread, and other tests run loops of
    their own.
    """
    with sync_playwright() as started:
        yield started


def launched(playwright: Playwright, path: str) -> Browser:
    # Its sandbox does not work as root, which containers often are.
    unsandboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
    quiet = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    return playwright.chromium.launch(executable_path=path, args=[*unsandboxed, *quiet])


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """A real browser, without a window."""
    started = launched(playwright, headless_chromium())
    yield started
    started.close()


@pytest.fixture
def page_of_whole_browser(playwright: Playwright) -> Iterator[Page]:
    """An empty page in a browser with all that windows have: notifications, for one."""
    started = launched(playwright, chromium())
    page = started.new_page()
    with seeing.watched(page):
        yield page
    started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of one person: nothing remembered from other tests."""
    opened = browser.new_context()
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """An empty page; nothing may go wrong on it that only a console or a policy report shows."""
    page = context.new_page()
    with seeing.watched(page):
        yield page


@pytest.fixture
def opened(docmill: Docmill, page: Page) -> Page:
    """The page, opened at the documents."""
    page.goto(docmill.url)
    return page
