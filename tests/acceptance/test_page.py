"""The page in a real browser, by what a person sees: a file goes in and becomes searchable."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

import seeing
from made_files import book, noise, pdf
from restartable_postgres import RestartablePostgres
from running import Docmill, until
from seeing import PATIENT, choose, is_in_state, row, sentence, upload_row

PAGE = Path(__file__).parents[2] / "src" / "docmill" / "web" / "page"


def test_uploaded_file_becomes_searchable_before_ones_eyes(opened: Page, tmp_path: Path) -> None:
    said = f"{uuid4().hex} the lighthouse keeper writes every night"
    path = seeing.file(tmp_path, said.encode())
    choose(opened, path)
    is_in_state(row(opened, path.name), "completed")
    expect(row(opened, path.name).locator(".state")).to_have_text("Searchable")
    expect(sentence(row(opened, path.name))).to_have_text("1 page · 1 passage")
    opened.get_by_role("link", name="Search").click()
    opened.get_by_label("What to search for").fill(said)
    expect(opened.locator("#hits li").first).to_contain_text(said)
    expect(opened.locator("#hits mark").first).to_be_visible()


def test_closing_the_page_at_once_loses_nothing(
    docmill: Docmill, browser: Browser, tmp_path: Path
) -> None:
    said = f"{uuid4().hex} page closed right after the upload"
    path = seeing.file(tmp_path, pdf(*([said] * 300)), ".pdf")
    first = browser.new_context()
    page = first.new_page()
    page.goto(docmill.url)
    seeing.accepted_id(page, path)
    first.close()

    later = browser.new_context().new_page()
    later.goto(docmill.url)
    is_in_state(row(later, path.name), "completed")
    later.goto(f"{docmill.url}/search?q={said}")
    expect(later.locator("#hits li").first).to_contain_text(path.name)
    later.context.close()


def test_processing_goes_on_offline_and_the_page_catches_up_without_a_reload(
    docmill: Docmill, opened: Page, context: BrowserContext, tmp_path: Path
) -> None:
    path = seeing.file(tmp_path, book(900, 40), ".pdf")
    document_id = seeing.accepted_id(opened, path)
    with docmill.frozen_workers():
        expect(row(opened, path.name)).to_be_visible()
        context.set_offline(offline=True)
        expect(opened.locator("#banner")).to_contain_text("Service unreachable", timeout=PATIENT)
    docmill.completed(document_id)
    expect(row(opened, path.name)).not_to_have_attribute("data-status", "completed")
    elsewhere = docmill.upload(f"{uuid4().hex}.txt", b"sent by another program meanwhile")
    context.set_offline(offline=False)
    is_in_state(row(opened, path.name), "completed")
    expect(opened.locator("#banner")).to_be_hidden()
    expect(opened.locator(f"document-row[data-document-id='{elsewhere}']")).to_be_visible()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[RestartablePostgres]:
    server = RestartablePostgres(tmp_path / "postgres")
    yield server
    server.stop()


@pytest.fixture
def on_postgres(postgres: RestartablePostgres) -> Iterator[Docmill]:
    """A docmill whose database may be struck down while it lives."""
    served = Docmill(None, "--workers", "1", env={"DOCMILL_DATABASE_URL": postgres.url})
    yield served
    assert served.stop() == 0


def test_while_the_database_is_away_the_page_shows_what_was_last_known_and_catches_up(
    on_postgres: Docmill, postgres: RestartablePostgres, page: Page, tmp_path: Path
) -> None:
    known = on_postgres.upload("known.txt", b"known before the outage")
    on_postgres.completed(known)
    page.goto(on_postgres.url)
    is_in_state(row(page, "known.txt"), "completed")
    postgres.strike(signal.SIGKILL)
    assert on_postgres.http.get("/healthz").status_code == 200
    page.evaluate("window.dispatchEvent(new Event('online'))")  # it asks at once
    expect(page.locator("#banner")).to_have_text(
        "Service unreachable; showing what was last known.", timeout=PATIENT
    )
    is_in_state(row(page, "known.txt"), "completed")
    path = seeing.file(tmp_path, b"chosen during the outage")
    choose(page, path)
    expect(sentence(upload_row(page, path.name))).to_contain_text("Waiting for the server")
    page.get_by_role("link", name="known.txt").click()
    expect(page.get_by_text("No such document")).to_have_count(0)
    postgres.start_again()
    expect(page.get_by_role("heading", level=1)).to_have_text("known.txt", timeout=PATIENT)
    expect(page.locator("#banner")).to_be_hidden()
    page.get_by_role("link", name="All documents").click()
    is_in_state(row(page, path.name), "completed")


def test_two_thousand_pages_grow_in_many_steps_that_are_all_committed(
    docmill: Docmill, opened: Page, tmp_path: Path
) -> None:
    path = seeing.file(tmp_path, book(2000, 16), ".pdf")
    expect(opened.locator("documents-view")).to_be_visible()
    opened.evaluate(
        """() => {
          window.seen = [];
          const look = () => document.querySelectorAll("document-row").forEach((row) => {
            const text = row.querySelector("[data-role=sentence]")?.textContent;
            const percent = row.querySelector("[data-role=percent]")?.textContent;
            const widths = [...row.querySelectorAll(".fill")].map((fill) => fill.style.inlineSize);
            window.seen.push([row.dataset.documentId, row.dataset.version, percent, text, widths]);
          });
          new MutationObserver(look).observe(document.querySelector("documents-view"),
            {subtree: true, childList: true, characterData: true, attributes: true});
        }"""
    )
    document_id = seeing.accepted_id(opened, path)
    shown = row(opened, path.name)

    def caught_up() -> bool:
        return bool(
            shown.get_attribute("data-version") == f"{docmill.status(document_id)['version']}"
        )

    version = -1

    def has_moved() -> bool:
        status = docmill.status(document_id)
        return bool(status["done"] or status["version"] > version)

    while not docmill.status(document_id)["done"]:
        with docmill.frozen_workers():  # what was committed stands still until the page shows it
            until(caught_up, "the page shows what is committed")
            version = docmill.status(document_id)["version"]
        until(has_moved, "more is committed")
    is_in_state(shown, "completed")
    seen = [
        (float(percent.removesuffix("%")), text, [float(width[:-1]) for width in widths])
        for shown_id, _, percent, text, widths in opened.evaluate("window.seen")
        if shown_id == document_id and percent and all(widths)
    ]
    percents = [percent for percent, _, _ in seen]
    assert percents == sorted(percents)
    assert len(set(percents)) >= 10
    pages = [int(m[1].replace(",", "")) for _, text, _ in seen
             if (m := re.match(r"Reading pages ([\d,]+) of 2,000", text))]  # fmt: skip
    assert pages == sorted(pages)
    assert len(set(pages)) >= 5
    for _, _, widths in seen:
        assert all(0 <= width <= 100 for width in widths)
    for stage in range(3):
        widths = [of[stage] for _, _, of in seen]
        assert widths == sorted(widths), "a bar never goes back"
    jobs = docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    assert sum(job["done"] for job in jobs if job["stage"] == "parse") == 2000


def test_no_timer_of_the_page_decides_a_state() -> None:
    """One module has a timer. Who uses it asks, sends or speaks again by it, and knows no state."""
    sources = {path.name: path.read_text() for path in PAGE.glob("*.js")}
    with_timers = {
        name for name, text in sources.items() if re.search(r"set(Timeout|Interval)", text)
    }
    assert with_timers == {"pause.js"}
    users = {name for name, text in sources.items() if '"./pause.js"' in text}
    assert users == {"poll.js", "trouble.js", "announce.js"}
    for name in ("pause.js", *users):
        assert not re.search(r"\bstatus\b|\bstate\b *=|percent|progress", code_of(sources[name]))


def code_of(text: str) -> str:
    """A module without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def test_each_refusal_names_its_file_the_limit_and_the_way_out_and_the_others_go_on(
    opened: Page, tmp_path: Path
) -> None:
    expect(opened.locator(".limits")).to_contain_text("PDF, Word")
    expect(opened.locator(".limits")).to_contain_text("up to 50 MB a file")
    empty, good = seeing.file(tmp_path, b""), seeing.file(tmp_path, uuid4().hex.encode())
    large = seeing.file(tmp_path, b"x" * 50_000_001)
    choose(opened, empty, good, large)
    expect(sentence(upload_row(opened, empty.name))).to_have_text(
        "The file is empty. Choose one that has content."
    )
    expect(sentence(upload_row(opened, large.name))).to_contain_text("larger than 50 MB")
    expect(opened.get_by_role("alert").filter(has_text="2 files were not taken")).to_be_visible()
    is_in_state(row(opened, good.name), "completed")
    for path in (empty, large):
        opened.get_by_role("button", name=f"Cancel the upload of {path.name}").click()
    expect(opened.locator("upload-panel")).to_be_hidden()


def test_the_server_has_the_last_word_on_a_file_and_the_page_says_it(
    opened: Page, tmp_path: Path
) -> None:
    path = seeing.file(tmp_path, b"text", name="a\u202efdp.txt")
    choose(opened, path)
    expect(sentence(opened.locator("upload-row"))).to_contain_text("change the writing direction")


def test_failed_document_says_why_and_can_be_retried_and_deleted(
    opened: Page, tmp_path: Path
) -> None:
    path = seeing.file(tmp_path, noise(), ".bin")
    choose(opened, path)
    failed = row(opened, path.name)
    is_in_state(failed, "failed")
    expect(sentence(failed)).to_have_text(
        "This type of file is not supported."
        " Convert it to PDF, an office format, HTML or text and upload that."
    )
    before = seeing.version(failed)
    opened.get_by_role("button", name=f"Retry {path.name}").click()
    until(lambda: seeing.version(failed) > before + 1, "the retry ended")
    opened.get_by_role("button", name=f"Delete {path.name}").click()
    opened.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    expect(failed).to_have_count(1)
    opened.get_by_role("button", name=f"Delete {path.name}").click()
    expect(opened.get_by_role("dialog")).to_contain_text(f"Delete {path.name}?")
    opened.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(failed).to_have_count(0)


def test_running_document_is_cancelled(docmill: Docmill, opened: Page, tmp_path: Path) -> None:
    path = seeing.file(tmp_path, book(1800, 60), ".pdf")
    docmill.begun(seeing.accepted_id(opened, path))
    cancel = opened.get_by_role("button", name=re.compile(f"^Cancel {path.name}"))
    with docmill.frozen_workers():
        cancel.click(timeout=PATIENT)
        is_in_state(row(opened, path.name), "cancelled")


@pytest.mark.parametrize("name", ['<img src=x onerror="alert(1)">.txt', "名前 👩‍🚀.txt"])
def test_any_name_is_shown_as_text(opened: Page, docmill: Docmill, name: str) -> None:
    document_id = docmill.upload(name.replace('"', "%22"), uuid4().hex.encode())
    filename = docmill.completed(document_id)["filename"]
    shown = opened.locator(f"document-row[data-document-id='{document_id}'] .name")
    opened.reload()
    expect(shown).to_have_text(filename)
    shown.click()
    expect(opened.get_by_role("heading", level=1)).to_have_text(filename)
    assert opened.locator("img").count() == 0
