"""The page in a real browser, by what a person sees."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from made_files import pdf
from running import Docmill, until

PATIENT = 60_000.0  # milliseconds; only a broken docmill waits that long


@pytest.fixture
def opened(docmill: Docmill, page: Page) -> Iterator[Page]:
    """The page, opened; afterwards nothing may have gone wrong that only a console shows."""
    wrong: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            wrong.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(docmill.url)
    yield page
    expected = ("net::ERR_", "status of 4", "status of 5")
    assert [text for text in wrong if not any(known in text for known in expected)] == []


def file(tmp_path: Path, content: bytes, suffix: str = ".txt") -> Path:
    path = tmp_path / f"{uuid4().hex}{suffix}"
    path.write_bytes(content)
    return path


def row(page: Page, name: str) -> Any:
    return page.locator("document-row").filter(has_text=name)


def choose(page: Page, *paths: Path) -> None:
    page.locator("#files").set_input_files([str(path) for path in paths])


def test_uploaded_file_becomes_searchable_before_ones_eyes(opened: Page, tmp_path: Path) -> None:
    said = f"{uuid4().hex} the lighthouse keeper writes every night"
    path = file(tmp_path, said.encode())
    choose(opened, path)
    expect(row(opened, path.name)).to_have_attribute("data-status", "completed", timeout=PATIENT)
    expect(row(opened, path.name).locator("[data-role=percent]")).to_have_text("100.0 %")
    opened.get_by_label("What to search for").fill(said)
    opened.get_by_role("button", name="Search").click()
    expect(opened.locator("#hits li").first).to_contain_text(said)
    expect(opened.locator("#hits mark").first).to_be_visible()


def test_closing_the_page_at_once_loses_nothing(
    docmill: Docmill, browser: Browser, tmp_path: Path
) -> None:
    said = f"{uuid4().hex} page closed right after the upload"
    path = file(tmp_path, pdf(*([said] * 300)), ".pdf")
    first = browser.new_context()
    page = first.new_page()
    page.goto(docmill.url)
    with page.expect_response(re.compile("/upload-document-backend")) as accepted:
        choose(page, path)
    assert accepted.value.status == 202
    first.close()

    later = browser.new_context().new_page()
    later.goto(docmill.url)
    expect(row(later, path.name)).to_have_attribute("data-status", "completed", timeout=PATIENT)
    later.get_by_label("What to search for").fill(said)
    later.get_by_role("button", name="Search").click()
    expect(later.locator("#hits li").first).to_contain_text(path.name)
    later.context.close()


def test_processing_goes_on_offline_and_the_page_catches_up_without_a_reload(
    docmill: Docmill, opened: Page, context: BrowserContext, tmp_path: Path
) -> None:
    path = file(tmp_path, pdf(*(f"page {n} " * 40 for n in range(900))), ".pdf")
    with opened.expect_response(re.compile("/upload-document-backend")) as accepted:
        choose(opened, path)
    document_id = accepted.value.json()["document_id"]
    context.set_offline(offline=True)
    expect(opened.locator("#banner")).to_contain_text("Service unreachable", timeout=PATIENT)
    docmill.completed(document_id)
    expect(row(opened, path.name)).not_to_have_attribute("data-status", "completed")
    context.set_offline(offline=False)
    expect(row(opened, path.name)).to_have_attribute("data-status", "completed", timeout=PATIENT)
    expect(opened.locator("#banner")).to_be_hidden()


def test_two_thousand_pages_grow_in_many_steps_that_are_all_committed(
    docmill: Docmill, opened: Page, tmp_path: Path
) -> None:
    path = file(tmp_path, pdf(*(f"page {n} of many. " * 12 for n in range(2000))), ".pdf")
    opened.evaluate(
        """() => {
          window.seen = [];
          const look = () => document.querySelectorAll("document-row").forEach((row) => {
            const text = row.querySelector("[data-role=sentence]")?.textContent;
            const percent = row.querySelector("[data-role=percent]")?.textContent;
            window.seen.push([row.dataset.documentId, row.dataset.version, percent, text]);
          });
          new MutationObserver(look).observe(document.getElementById("documents"),
            {subtree: true, childList: true, characterData: true, attributes: true});
        }"""
    )
    with opened.expect_response(re.compile("/upload-document-backend")) as accepted:
        choose(opened, path)
    document_id = accepted.value.json()["document_id"]
    shown = row(opened, path.name)

    def caught_up() -> bool:
        return bool(
            shown.get_attribute("data-version") == f"{docmill.status(document_id)['version']}"
        )

    while not docmill.status(document_id)["done"]:
        with docmill.frozen_workers():  # what was committed stands still until the page shows it
            until(caught_up, "the page shows what is committed")
    expect(shown).to_have_attribute("data-status", "completed", timeout=PATIENT)
    seen = [
        (int(version), float(percent.removesuffix(" %")), sentence)
        for shown_id, version, percent, sentence in opened.evaluate("window.seen")
        if shown_id == document_id and percent.endswith(" %")
    ]
    percents = [percent for _, percent, _ in seen]
    assert percents == sorted(percents)
    assert len(set(percents)) >= 10
    pages = [int(m[1]) for _, _, text in seen if (m := re.match(r"Reading pages (\d+)", text))]
    assert pages == sorted(pages)
    jobs = docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    assert sum(job["done"] for job in jobs if job["stage"] == "parse") == 2000


def test_no_timer_of_the_page_decides_a_state() -> None:
    modules = Path(__file__).parents[2] / "src" / "docmill" / "web" / "page"
    with_timers = [
        path.name
        for path in modules.glob("*.js")
        if re.search(r"set(Timeout|Interval)", path.read_text())
    ]
    assert with_timers == ["poll.js"]
    assert "status" not in (modules / "poll.js").read_text().split("setTimeout", 1)[1]


def test_each_refusal_names_its_file_and_the_others_go_on(opened: Page, tmp_path: Path) -> None:
    empty, good = file(tmp_path, b""), file(tmp_path, uuid4().hex.encode())
    choose(opened, empty, good)
    expect(opened.locator("#refusals li")).to_have_count(1)
    expect(opened.locator("#refusals li")).to_contain_text(empty.name)
    expect(row(opened, good.name)).to_have_attribute("data-status", "completed", timeout=PATIENT)
    expect(row(opened, empty.name)).to_have_count(0)


def test_failed_document_says_why_and_can_be_retried_and_deleted(
    opened: Page, tmp_path: Path
) -> None:
    path = file(tmp_path, bytes(range(256)), ".bin")
    choose(opened, path)
    failed = row(opened, path.name)
    expect(failed).to_have_attribute("data-status", "failed", timeout=PATIENT)
    expect(failed.locator("[data-role=sentence]")).to_contain_text("not supported")
    version = int(failed.get_attribute("data-version") or 0)
    opened.get_by_role("button", name=f"Retry {path.name}").click()

    def retried() -> bool:
        return int(failed.get_attribute("data-version") or 0) > version + 1

    until(retried, "the retry ended")
    opened.get_by_role("button", name=f"Delete {path.name}").click()
    expect(failed).to_have_count(0)


def test_running_document_is_cancelled(opened: Page, tmp_path: Path) -> None:
    path = file(tmp_path, pdf(*(f"page {n} " * 60 for n in range(1800))), ".pdf")
    choose(opened, path)
    opened.get_by_role("button", name=f"Cancel {path.name}").click(timeout=PATIENT)
    expect(row(opened, path.name)).to_have_attribute("data-status", "cancelled")


def test_dropped_file_is_uploaded(opened: Page) -> None:
    name = f"{uuid4().hex}.txt"
    transfer = opened.evaluate_handle(
        """(name) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["dropped text"], name));
          return transfer;
        }""",
        name,
    )
    opened.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(row(opened, name)).to_have_attribute("data-status", "completed", timeout=PATIENT)


def test_bytes_are_shown_while_they_are_sent_and_leaving_is_warned_about(
    opened: Page, tmp_path: Path
) -> None:
    network = opened.context.new_cdp_session(opened)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2e6}
    network.send("Network.emulateNetworkConditions", slow)
    path = file(tmp_path, b"slow " * 1_000_000)
    choose(opened, path)
    sentence = row(opened, path.name).locator("[data-role=sentence]")
    expect(sentence).to_have_text(re.compile(r"Uploading [1-4](\.\d)? MB of 5 MB"))
    opened.locator("h1").click()  # browsers warn only for pages that somebody touched
    with opened.expect_event("dialog") as warning:
        opened.evaluate("setTimeout(() => location.reload(), 0)")
    assert warning.value.type == "beforeunload"
    warning.value.dismiss()
    network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    expect(row(opened, path.name)).to_have_attribute("data-status", "completed", timeout=PATIENT)


@pytest.mark.parametrize("name", ['<img src=x onerror="alert(1)">.txt', "名前 👩‍🚀.txt"])
def test_any_name_is_shown_as_text(opened: Page, docmill: Docmill, name: str) -> None:
    content = uuid4().hex.encode()
    document_id = docmill.upload(name.replace('"', "%22"), content)
    docmill.completed(document_id)
    opened.reload()
    shown = opened.locator(f"document-row[data-document-id='{document_id}'] .name")
    expect(shown).to_have_text(docmill.status(document_id)["filename"])
    assert shown.locator("img").count() == 0


def test_narrow_screen_needs_no_sideways_scrolling(docmill: Docmill, browser: Browser) -> None:
    docmill.completed(docmill.upload("a-rather-long-name-" * 8 + ".txt", uuid4().hex.encode()))
    context = browser.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto(docmill.url)
    expect(page.locator("document-row").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    context.close()
