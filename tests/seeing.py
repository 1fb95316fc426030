"""What a person does and sees on the page, for the tests in a real browser."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import CDPSession, ConsoleMessage, Locator, Page, expect

PATIENT = 120_000.0  # milliseconds; only a broken docmill waits that long
# What the browser itself says when the server is away or refuses.
EXPECTED = ("net::ERR_", "status of 4", "status of 5")
WATCH_POLICY = """
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


@contextmanager
def watched(page: Page) -> Iterator[Page]:
    """A page on which nothing may go wrong that only a console shows, and no policy is broken."""
    wrong: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            wrong.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.add_init_script(WATCH_POLICY)
    yield page
    unexpected = [text for text in wrong if not any(known in text for known in EXPECTED)]
    assert not unexpected, unexpected
    if not page.is_closed():
        assert page.evaluate("window.violations ?? []") == []


def file(folder: Path, content: bytes, suffix: str = ".txt", name: str = "") -> Path:
    """A file with a name that no other test has."""
    path = folder / (name or f"{uuid4().hex}{suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def row(page: Page, name: str) -> Locator:
    """The document's row in the list."""
    return page.locator("document-row").filter(has_text=name)


def upload_row(page: Page, name: str) -> Locator:
    """The row of a file whose bytes are still in the browser."""
    return page.locator("upload-row").filter(has_text=name)


def sentence(shown: Locator) -> Locator:
    """The sentence in a row."""
    return shown.locator("[data-role=sentence]")


def choose(page: Page, *paths: Path) -> None:
    """Choose files as by the browser's dialog."""
    page.locator("#files").set_input_files([str(path) for path in paths])


def is_in_state(shown: Locator, state: str) -> None:
    """Wait until the row shows this state."""
    expect(shown).to_have_attribute("data-status", state, timeout=PATIENT)


def version(shown: Locator) -> int:
    """The version of the document that the row shows."""
    return int(shown.get_attribute("data-version") or 0)


def drop(page: Page, files: Sequence[tuple[str, str]], target: str = "body") -> None:
    """Drop files of these names and texts, as a drag from another program does."""
    transfer = page.evaluate_handle(
        """(files) => {
          const transfer = new DataTransfer();
          for (const [name, text] of files) transfer.items.add(new File([text], name));
          return transfer;
        }""",
        [list(pair) for pair in files],
    )
    page.dispatch_event(target, "drop", {"dataTransfer": transfer})


class Network:
    """The browser's network, as slow as wanted."""

    def __init__(self, page: Page) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("Network.enable")

    def upload_at(self, bytes_per_second: float) -> None:
        """From now on no more than so many bytes a second leave; -1 for any number."""
        self._be(offline=False, bytes_per_second=bytes_per_second)

    def cut(self) -> None:
        """From now on there is none, and what is on its way fails."""
        self._be(offline=True, bytes_per_second=-1)

    def _be(self, *, offline: bool, bytes_per_second: float) -> None:
        conditions = {"offline": offline, "uploadThroughput": bytes_per_second}
        whole = {"latency": 0, "downloadThroughput": -1, **conditions}
        self._session.send("Network.emulateNetworkConditions", whole)


def accepted_id(page: Page, *paths: Path) -> str:
    """Choose files and wait for the server to have the last one for good; its document id."""
    with page.expect_response(lambda answer: "docmill-document-id" in answer.headers) as answer:
        choose(page, *paths)
    return answer.value.headers["docmill-document-id"]
