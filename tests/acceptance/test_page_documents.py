"""The list of documents and the view of one, by what a person sees."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Page, Route, expect

import seeing
from docmill import database, embedded_postgres
from made_files import noise, pdf, pdf_that_calls_itself
from running import Docmill, until
from seeing import PATIENT, is_in_state, row

MANY = 3_000


@pytest.fixture(scope="module")
def shelf(docmill: Docmill) -> str:
    """A collection with a few documents, one of which fails."""
    name = f"Shelf {uuid4().hex[:8]}"
    for title in ("beta", "alpha", "gamma"):
        docmill.upload(f"{title}.txt", f"{uuid4().hex} {title * 40}".encode(), collection=name)
    docmill.upload("noise.bin", noise(), collection=name)
    until(lambda: counts(docmill, name)["completed"] == 3, "the shelf is filled")
    until(lambda: counts(docmill, name)["failed"] == 1, "one failed")
    return name


def counts(docmill: Docmill, collection: str) -> dict[str, int]:
    asked = {"ids": "", "summary": "true", "collection": collection}
    found: dict[str, int] = docmill.http.get("/documents", params=asked).json()["summary"]["counts"]
    return found


def names(page: Page) -> list[str]:
    return page.locator("document-row .name").all_inner_texts()


# the list --------------------------------------------------------------------------------


def test_list_is_narrowed_by_name_state_and_collection_and_sorted(opened: Page, shelf: str) -> None:
    opened.get_by_label("Collection", exact=True).select_option(shelf)
    expect(opened.locator("document-row")).to_have_count(4)
    expect(opened.get_by_role("button", name="Searchable 3")).to_be_visible()
    opened.get_by_label("Order").select_option("Name, A to Z")
    expect(opened.locator("document-row .name").first).to_have_text("alpha.txt")
    assert names(opened) == ["alpha.txt", "beta.txt", "gamma.txt", "noise.bin"]
    opened.get_by_role("button", name="Failed 1").click()
    expect(opened.locator("document-row .name")).to_have_text(["noise.bin"])
    opened.get_by_role("button", name="All 4").click()
    opened.get_by_label("Search by name").press_sequentially("BET")
    expect(opened.locator("document-row .name")).to_have_text(["beta.txt"])
    opened.get_by_label("Search by name").fill("nothing of the kind")
    expect(opened.get_by_text("No document fits these filters.")).to_be_visible()


def test_filters_stand_in_the_address_and_survive_a_reload(
    docmill: Docmill, page: Page, shelf: str
) -> None:
    page.goto(f"{docmill.url}/?collection={shelf}&status=completed&sort=-filename")
    expect(page.locator("document-row .name")).to_have_text(["gamma.txt", "beta.txt", "alpha.txt"])
    page.get_by_label("Search by name").fill("a.t")
    expect(page.locator("document-row .name")).to_have_text(["gamma.txt", "beta.txt", "alpha.txt"])
    page.get_by_label("Search by name").fill("pha")
    expect(page.locator("document-row .name")).to_have_text(["alpha.txt"])
    page.reload()
    expect(page.locator("document-row .name")).to_have_text(["alpha.txt"])
    expect(page.get_by_label("Search by name")).to_have_value("pha")


@pytest.fixture
def thousands(docmill: Docmill, data_dir: Path) -> Iterator[str]:
    """A collection with thousands of documents, as they would stand there after months."""
    name = f"Many {uuid4().hex[:8]}"
    first = docmill.upload("00000.txt", name.encode(), collection=name)
    docmill.completed(first)
    server = embedded_postgres.start(data_dir)  # finds it running
    with database.connect(server.admin_url, autocommit=True) as admin:
        admin.execute("set search_path = docmill")
        admin.execute(
            """insert into documents (owner_id, collection_id, file_id, filename, external_id,
                 status, serving, served_file_id, served_filename, pages_done, pages_total,
                 chunks_done, chunks_total, embedded_done, started_at, completed_at)
               select owner_id, collection_id, file_id, to_char(n, 'FM00000') || '.txt', n,
                 status, serving, file_id, filename, 1, 1, 1, 1, 1, started_at, completed_at
               from documents, generate_series(1, %s) n where id = %s""",
            [MANY - 1, first],
        )
        yield name
        admin.execute("delete from documents where file_id = (select file_id from documents"
                      " where id = %s)", [first])  # fmt: skip


# Scrolls screen by screen, as fast as the page shows rows; gives the names that were shown.
SCROLL_THROUGH = """async (many) => {
  const seen = new Set();
  let mostRows = 0;
  while (seen.size < many) {
    const rows = document.querySelectorAll("document-row .name");
    for (const row of rows) seen.add(row.textContent);
    mostRows = Math.max(mostRows, rows.length);
    window.scrollBy(0, window.innerHeight);
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  }
  return [[...seen].sort(), mostRows];
}"""


def test_a_list_of_thousands_has_few_rows_and_shows_each_of_them(
    docmill: Docmill, page: Page, thousands: str
) -> None:
    page.set_viewport_size({"width": 1280, "height": 2000})
    page.goto(f"{docmill.url}/?collection={thousands}&sort=filename")
    expect(page.get_by_role("button", name="All 3,000")).to_be_visible()
    expect(page.locator("document-row").first).to_be_visible()
    seen, most_rows = page.evaluate(SCROLL_THROUGH, MANY)
    assert seen == [f"{number:05}.txt" for number in range(MANY)]
    assert most_rows < 60
    last = page.locator(f"li[aria-posinset='{MANY}']")
    expect(last).to_have_attribute("aria-setsize", str(MANY))
    expect(last).to_contain_text("02999.txt")


def test_what_others_add_and_delete_appears_and_goes_without_a_reload(
    docmill: Docmill, opened: Page
) -> None:
    expect(opened.locator(".skeleton")).to_be_hidden()
    name = f"{uuid4().hex}.txt"
    document_id = docmill.upload(name, name.encode())
    until(lambda: again(opened) and row(opened, name).count() == 1, "it appears")
    is_in_state(row(opened, name), "completed")
    assert docmill.http.delete(f"/documents/{document_id}").status_code == 204
    until(lambda: again(opened) and row(opened, name).count() == 0, "it goes")


def test_what_goes_is_noticed_also_where_the_counts_are_those_of_an_earlier_answer(
    docmill: Docmill, page: Page
) -> None:
    name = f"{uuid4().hex}.txt"
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile(r"/documents\?.*page_size="), hold)
    page.goto(docmill.url)
    expect(
        page.get_by_role("button", name=re.compile(r"All \d"))
    ).to_be_visible()  # the poll's answer
    document_id = docmill.upload(name, name.encode())
    docmill.completed(document_id)
    for route in held:
        route.continue_()
    page.unroute_all()
    expect(row(page, name)).to_be_visible()
    assert docmill.http.delete(f"/documents/{document_id}").status_code == 204
    until(lambda: again(page) and row(page, name).count() == 0, "it goes")


def again(page: Page) -> bool:
    """Let the page ask now, as when the network comes back."""
    return bool(page.evaluate("window.dispatchEvent(new Event('online'))"))


@pytest.fixture
def patient_docmill() -> Iterator[Docmill]:
    """One that waits so long between two tries that nobody can miss it."""
    with tempfile.TemporaryDirectory(prefix="docmill-page-") as folder:
        docmill = Docmill(Path(folder) / "data", env={"DOCMILL_BACKOFF_SECONDS": "200"})
        yield docmill
        assert docmill.stop() == 0


def test_waiting_for_a_retry_is_said_with_the_reason_and_the_time(
    patient_docmill: Docmill, page: Page
) -> None:
    docmill = patient_docmill
    name = f"{uuid4().hex}.pdf"
    docmill.upload(name, pdf_that_calls_itself())
    page.goto(f"{docmill.url}/?q={name}")
    expect(row(page, name).locator(".state")).to_have_text("Waiting", timeout=PATIENT)
    expect(seeing.sentence(row(page, name))).to_have_text(
        re.compile(
            r"The parser needed more memory than is allowed; next try at .+ \(1 of 5 failed\)"
        )
    )
    expect(row(page, name).locator("[data-stage=parse]")).to_have_attribute("data-look", "waiting")
    page.get_by_role("button", name=f"Delete {name}").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row(page, name)).to_have_count(0)


# one document ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book(docmill: Docmill) -> str:
    """A PDF of twelve pages; its id."""
    pages = (
        f"Page {n}. " + f"The miller of page {n} counts his sacks. " * 30 for n in range(1, 13)
    )
    content = pdf(*pages)
    metadata = json.dumps({"shelf": "A3"})
    document_id = docmill.upload("book.pdf", content, external_id="ISBN 1", metadata=metadata)
    docmill.completed(document_id)
    return document_id


def test_a_document_shows_its_facts_and_its_history(
    docmill: Docmill, page: Page, book: str
) -> None:
    page.goto(f"{docmill.url}/view/{book}")
    expect(page.get_by_role("heading", level=1)).to_have_text("book.pdf")
    expect(page).to_have_title("book.pdf · docmill")
    facts = page.locator(".facts")
    for fact in ("application/pdf", "ISBN 1", '"shelf": "A3"', book[:8]):
        expect(facts).to_contain_text(fact)
    for stage in ("Read", "Cut", "Embed"):
        expect(page.locator(".stages").get_by_text(stage, exact=True)).to_be_visible()
    jobs = docmill.http.get(f"/documents/{book}/jobs").json()["jobs"]
    attempts = [attempt for job in jobs for attempt in job["attempts"]]
    expect(page.locator("[data-bar]")).to_have_count(len(attempts))
    page.get_by_text(f"All {len(attempts)} attempts as a table").click()
    expect(page.locator("time-line tbody tr")).to_have_count(len(attempts))
    expect(page.locator("time-line tbody")).to_contain_text(attempts[0]["worker"])


def test_the_timeline_is_walked_by_arrow_keys(docmill: Docmill, page: Page, book: str) -> None:
    page.goto(f"{docmill.url}/view/{book}")
    page.locator("[data-bar='0']").focus()
    expect(page.locator(".caption")).to_contain_text("Read")
    page.keyboard.press("End")
    expect(page.locator(".caption")).to_contain_text("Embed")
    expect(page.locator("[data-bar]:focus")).to_have_count(1)
    expect(page.locator(".caption")).to_contain_text("succeeded")


def test_pages_stand_beside_their_passages(docmill: Docmill, page: Page, book: str) -> None:
    page.goto(f"{docmill.url}/view/{book}")
    text = page.get_by_role("region", name="Text", exact=True)
    expect(text).to_contain_text("Page 1.")
    expect(page.get_by_role("button", name="Back")).to_be_disabled()
    page.get_by_role("button", name="Forward").click()
    expect(text).to_contain_text("Page 2.")
    page.get_by_label("Page", exact=True).fill("12")
    page.get_by_label("Page", exact=True).press("Enter")
    expect(text).to_contain_text("Page 12.")
    expect(page.get_by_role("button", name="Forward")).to_be_disabled()
    passages = page.locator(".passages button")
    expect(passages.first).to_contain_text("page 12")
    passages.last.hover()
    marked = page.locator(".text [data-pointed]")
    expect(marked).to_have_count(1)
    ordinal = passages.last.get_attribute("data-passages")
    listed = docmill.http.get(f"/documents/{book}/chunks").json()["chunks"]
    assert marked.inner_text() == listed[int(ordinal or 0)]["text"]


def test_a_long_document_is_read_while_it_is_made(docmill: Docmill, page: Page) -> None:
    content = pdf(*(f"Page {n}. " + "words " * 300 for n in range(1, 1201)))
    document_id = docmill.upload("growing.pdf", content)
    page.goto(f"{docmill.url}/view/{document_id}")
    expect(page.locator("document-view")).to_have_attribute(
        "data-status", "completed", timeout=PATIENT
    )
    expect(page.locator(".steps .of")).to_have_text("of 1,200")
    expect(page.get_by_role("region", name="Text", exact=True)).to_contain_text("Page 1.")
    jobs = docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    expect(page.locator("[data-bar]")).to_have_count(sum(len(job["attempts"]) for job in jobs))


def test_a_failed_document_says_what_to_do_and_folds_away_what_developers_need(
    docmill: Docmill, page: Page
) -> None:
    document_id = docmill.upload("broken.pdf", b"%PDF-1.7\nnot a PDF behind its first line")
    docmill.ended(document_id)
    page.goto(f"{docmill.url}/view/{document_id}")
    trouble = page.locator(".trouble")
    expect(trouble).to_contain_text("The file can't be read. It is damaged")
    expect(trouble.get_by_text("FILE_UNREADABLE")).to_be_hidden()
    trouble.get_by_text("Details").click()
    expect(trouble.get_by_text("FILE_UNREADABLE · Read · attempt 1")).to_be_visible()
    expect(page.locator("[data-bar='0']")).to_have_attribute("data-outcome", "failed")
    before = docmill.status(document_id)["version"]
    page.get_by_role("button", name="Retry").click()
    until(lambda: docmill.status(document_id)["version"] > before + 1, "the retry ended")
    expect(page.locator("[data-bar]")).to_have_count(2, timeout=PATIENT)


def test_a_document_is_reprocessed_downloaded_and_deleted(docmill: Docmill, page: Page) -> None:
    content = uuid4().hex.encode()
    document_id = docmill.upload("again.txt", content)
    docmill.completed(document_id)
    page.goto(f"{docmill.url}/view/{document_id}")
    page.get_by_role("button", name="Reprocess").click()
    until(lambda: docmill.status(document_id)["generation"] == 2, "a new generation is made")
    docmill.completed(document_id)
    expect(page.locator("document-view")).to_have_attribute(
        "data-status", "completed", timeout=PATIENT
    )
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "again.txt"
    assert download.value.path().read_bytes() == content
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{docmill.url}/")
    assert docmill.http.get(f"/documents/{document_id}").status_code == 404


def test_a_document_that_is_not_there_is_told(docmill: Docmill, page: Page) -> None:
    page.goto(f"{docmill.url}/view/{uuid4()}")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such document")
    page.get_by_role("link", name="All documents").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Documents")


def test_going_back_shows_the_list_where_it_was(docmill: Docmill, page: Page, shelf: str) -> None:
    page.goto(f"{docmill.url}/?collection={shelf}")
    page.get_by_role("link", name="beta.txt").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("beta.txt")
    page.go_back()
    expect(page.locator("document-row")).to_have_count(4)
