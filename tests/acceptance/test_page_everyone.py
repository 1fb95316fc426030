"""The page for everyone: by keyboard, by ear, on narrow screens, in other languages."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, FileChooser, Page, expect

import seeing
from made_files import book, noise, pdf
from running import Docmill, until
from seeing import PATIENT, is_in_state, row, upload_row

WORD = f"w{uuid4().hex}"


@pytest.fixture(scope="module")
def views(docmill: Docmill) -> dict[str, str]:
    """The address of each view, with something to see in it."""
    book = docmill.upload("book.pdf", pdf(*(f"Page {n}. {WORD} turns. " * 20 for n in range(1, 6))))
    failed = docmill.upload("a-rather-long-name-" * 8 + ".bin", noise())
    docmill.upload("blank.pdf", pdf(""), collection=f"Blank {WORD[:6]}")
    for document_id in (book, failed):
        docmill.ended(document_id)
    return {
        "documents": "/",
        "document": f"/view/{book}?at=0&to=40",
        "failed document": f"/view/{failed}",
        "search": f"/search?q={WORD}",
        "operator": "/operator",
        "missing": f"/view/{uuid4()}",
    }


READY = {
    "documents": "document-row",
    "document": "[data-bar]",
    "failed document": ".trouble",
    "search": "#hits li",
    "operator": "operator-view tbody tr",
    "missing": ".empty",
}
VIEWS = list(READY)


def show(page: Page, docmill: Docmill, views: dict[str, str], name: str, query: str = "") -> None:
    address = views[name]
    joined = f"{address}{'&' if '?' in address else '?'}{query}" if query else address
    page.goto(docmill.url + joined)
    expect(page.locator(READY[name]).first).to_be_visible(timeout=PATIENT)


# screen readers --------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(
    docmill: Docmill, page: Page, views: dict[str, str], tmp_path: Path, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    for name in VIEWS:
        show(page, docmill, views, name)
        finds_nothing(page, f"{name}, {scheme}")
    show(page, docmill, views, "documents")
    network = seeing.Network(page)
    network.upload_at(1e5)
    seeing.choose(page, seeing.file(tmp_path, b"slow " * 100_000), seeing.file(tmp_path, b""))
    expect(page.locator("upload-row")).to_have_count(2)
    finds_nothing(page, f"uploads, {scheme}")
    page.get_by_role("button", name="Cancel all").click()
    network.upload_at(-1)
    page.get_by_role("button", name="Delete book.pdf").first.click()
    finds_nothing(page, f"question, {scheme}")


def finds_nothing(page: Page, where: str) -> None:
    results = Axe().run(page)
    found = [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in results.response["violations"]]
    assert found == [], where


def test_progress_has_a_text_and_what_happens_is_said_once_politely(
    docmill: Docmill, opened: Page, tmp_path: Path
) -> None:
    path = seeing.file(tmp_path, book(900, 40), ".pdf")
    document_id = seeing.accepted_id(opened, path)
    docmill.begun(document_id)
    bar = row(opened, path.name).get_by_role("progressbar")
    percent = re.compile(r"^[\d.]+%, .+")
    with docmill.frozen_workers():
        expect(bar).to_have_attribute("aria-valuetext", percent, timeout=PATIENT)
        expect(bar).to_have_attribute("aria-label", f"Progress of {path.name}")
    said = opened.locator("#announcements")
    expect(said).to_have_role("status")
    expect(said).to_contain_text(f"{path.name}: Searchable", timeout=PATIENT)
    assert opened.locator("[aria-live], [role=status]").count() == 1
    assert docmill.http.get("/healthz").status_code == 200


# the keyboard alone ----------------------------------------------------------------------


def tab_to(page: Page, is_there: Callable[[], bool]) -> None:
    """Press the tab key until the focus is where it should be; never with a mouse."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if is_there():
            return
    raise AssertionError("the keyboard does not get there")


def focused(page: Page) -> str:
    text: str = page.evaluate(
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText"
    )
    return text.strip()


def test_everything_is_done_by_keyboard_alone(
    docmill: Docmill, opened: Page, tmp_path: Path
) -> None:
    said = f"{uuid4().hex} by keyboard alone"
    path = seeing.file(tmp_path, said.encode())
    choosers: list[FileChooser] = []

    def note(chooser: FileChooser) -> None:
        choosers.append(chooser)

    opened.on("filechooser", note)  # before the key is pressed: the browser is told in time
    expect(opened.get_by_role("heading", level=1)).to_be_visible()
    opened.keyboard.press("Tab")
    assert focused(opened) == "Skip to the content"
    opened.keyboard.press("Enter")
    tab_to(opened, lambda: focused(opened) == "Choose files")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert opened.evaluate(outline) == "solid", "one sees where the focus is"
    opened.keyboard.press("Enter")
    until(lambda: opened.evaluate("true") and bool(choosers), "a dialog to choose files opens")
    choosers[0].set_files(path)
    is_in_state(row(opened, path.name), "completed")

    tab_to(opened, lambda: focused(opened) == path.name)
    opened.keyboard.press("Enter")
    expect(opened.get_by_role("heading", level=1)).to_have_text(path.name)
    assert focused(opened) == path.name, "the focus is on the new view's heading"

    opened.keyboard.press("Shift+Tab")
    while focused(opened) != "Search":
        opened.keyboard.press("Shift+Tab")
    opened.keyboard.press("Enter")
    opened.keyboard.type(said)
    expect(opened.locator("#hits li").first).to_contain_text(said)
    tab_to(opened, lambda: focused(opened) == path.name)
    opened.keyboard.press("Enter")
    expect(opened.locator(".text mark")).to_have_text(said)

    tab_to(opened, lambda: focused(opened) == "Delete")
    opened.keyboard.press("Enter")
    assert focused(opened) == "Keep it"
    opened.keyboard.press("Escape")
    expect(opened.get_by_role("dialog")).to_have_count(0)
    assert focused(opened) == "Delete"
    opened.keyboard.press("Enter")
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    expect(opened).to_have_url(f"{docmill.url}/")


def test_focus_stays_in_the_list_when_its_row_goes(
    docmill: Docmill, opened: Page, tmp_path: Path
) -> None:
    paths = [seeing.file(tmp_path, uuid4().hex.encode()) for _ in range(2)]
    for path in paths:
        docmill.completed(docmill.upload(path.name, path.read_bytes()))
    opened.reload()
    opened.get_by_role("button", name=f"Delete {paths[1].name}").focus()
    opened.keyboard.press("Enter")
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    expect(row(opened, paths[1].name)).to_have_count(0)
    assert opened.evaluate("document.activeElement.closest('document-row') !== null")


def test_focus_stays_on_a_hit_when_a_later_answer_shows_it_again(
    docmill: Docmill, page: Page, tmp_path: Path
) -> None:
    word = f"w{uuid4().hex}"
    paths = [seeing.file(tmp_path, f"{word} {n}".encode()) for n in range(2)]
    for path in paths:
        docmill.completed(docmill.upload(path.name, path.read_bytes()))
    page.goto(f"{docmill.url}/search?q={word}")
    hit = page.locator("#hits").get_by_role("link", name=paths[1].name)
    hit.focus()
    ask = """asked => {
        document.querySelectorAll('#hits li').forEach(entry => entry.dataset.earlier = '')
        const query = document.getElementById('query')
        query.value = asked
        query.dispatchEvent(new Event('input'))
    }"""
    for asked, focused_then in ((f"{word} 1", hit), ("", page.get_by_role("searchbox"))):
        page.evaluate(ask, asked)
        expect(page.locator("#hits [data-earlier]")).to_have_count(0)
        expect(focused_then).to_be_focused()


# small, still and forced -----------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "language=ar-XB", "language=en-XA"])
def test_no_view_needs_sideways_scrolling_on_a_narrow_screen(
    docmill: Docmill, page: Page, views: dict[str, str], query: str
) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    for name in VIEWS:
        show(page, docmill, views, name, query)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name


def test_nothing_moves_for_who_wants_it_still(
    docmill: Docmill, opened: Page, tmp_path: Path
) -> None:
    opened.emulate_media(reduced_motion="reduce")
    path = seeing.file(tmp_path, book(900, 40), ".pdf")
    document_id = seeing.accepted_id(opened, path)
    moving = """() => document.getAnimations()
      .filter((one) => one.playState === "running" && !one.effect.target.matches(".toast"))
      .filter((one) => one.effect.getTiming().duration > 1).length"""
    docmill.begun(document_id)
    with docmill.frozen_workers():
        expect(row(opened, path.name).locator(".state")).to_have_text("In work", timeout=PATIENT)
        assert opened.evaluate(moving) == 0
    docmill.completed(document_id)


def test_bars_and_marks_are_seen_in_forced_colours(
    docmill: Docmill, page: Page, views: dict[str, str]
) -> None:
    page.emulate_media(forced_colors="active")
    show(page, docmill, views, "documents")
    width = "element => parseFloat(getComputedStyle(element).borderTopWidth)"
    assert page.locator(".segment").first.evaluate(width) >= 1
    fill = page.locator("[data-status=completed] .segment .fill").first
    colours = fill.evaluate(
        "element => [getComputedStyle(element).backgroundColor,"
        " getComputedStyle(document.body).backgroundColor]"
    )
    assert colours[0] != colours[1]


def test_targets_are_large_enough_for_a_finger(
    docmill: Docmill, browser: Browser, views: dict[str, str]
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    for name in VIEWS:
        show(page, docmill, views, name)
        small = page.evaluate(
            """() => [...document.querySelectorAll("button, select, input, nav a, summary")]
              .filter((one) => one.checkVisibility() && !one.matches(".visually-hidden"))
              .map((one) => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()])
              .filter(([, box]) => Math.min(box.width, box.height) < 24 && box.width > 0)
              .filter(([html]) => !html.includes('checkbox'))
              .map(([html, box]) => `${html} ${box.width}x${box.height}`)"""
        )
        assert small == [], name
    context.close()


# languages -------------------------------------------------------------------------------

# What is data and not the page's own words.
DATA = (
    ".name, .collection, .kind, code, .mono, .facts dd, .text, .passage, .headings, .preview,"
    " .brand, h1, svg, .source a, time, option, .caption, .size, .percent, .took, .tile strong,"
    " .detail, td.number, .choices select"
)


def test_every_word_of_the_page_comes_from_the_catalogue(
    docmill: Docmill, page: Page, views: dict[str, str]
) -> None:
    for name in VIEWS:
        show(page, docmill, views, name, "language=en-XA")
        bare = page.evaluate(
            """(data) => {
              const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
              const bare = [];
              while (walker.nextNode()) {
                const { parentElement: parent, data: text } = walker.currentNode;
                const isSaid = /[⟦⟧]/.test(parent.textContent) || !/\\p{L}/u.test(text);
                if (!isSaid && !parent.closest(`${data}, noscript, script`)) bare.push(text);
              }
              return bare;
            }""",
            DATA,
        )
        assert bare == [], name
        labels = page.evaluate(
            """() => [...document.querySelectorAll("[aria-label], [placeholder]")].flatMap((one) =>
              [one.getAttribute("aria-label"), one.getAttribute("placeholder")])
              .filter((text) => text && /\\p{L}/u.test(text) && !text.includes("⟦"))"""
        )
        assert labels == [], name


def test_leftward_writing_turns_the_page_around(
    docmill: Docmill, page: Page, views: dict[str, str]
) -> None:
    show(page, docmill, views, "documents", "language=ar-XB")
    assert page.evaluate("document.documentElement.dir") == "rtl"
    rail, heading = page.locator(".rail").bounding_box(), page.locator("h1").bounding_box()
    assert rail
    assert heading
    assert rail["x"] > heading["x"]
    name = page.locator("document-row .name").first.bounding_box()
    state = page.locator("document-row .state").first.bounding_box()
    assert name
    assert state
    assert state["x"] < name["x"]


def test_the_language_is_the_browsers_until_another_one_is_chosen(
    docmill: Docmill, browser: Browser, views: dict[str, str]
) -> None:
    context = browser.new_context(locale="de-AT")
    page = context.new_page()
    show(page, docmill, views, "documents")
    expect(page.get_by_role("heading", level=1)).to_have_text("Dokumente")
    assert page.evaluate("document.documentElement.lang") == "de"
    failed = page.locator("document-row[data-status=failed]").first
    expect(seeing.sentence(failed)).to_contain_text("Diese Art von Datei wird nicht gelesen.")
    page.get_by_label("Sprache").select_option("English")
    expect(page.get_by_role("heading", level=1)).to_have_text("Documents")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Documents")
    context.close()


def test_a_theme_is_chosen_and_kept(docmill: Docmill, page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(docmill.url)
    page.get_by_label("Theme").select_option("Dark")
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    assert page.evaluate(scheme) == "dark"
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate(scheme) == "dark"


# hostile words ---------------------------------------------------------------------------


def test_markup_in_names_metadata_and_texts_stays_text(docmill: Docmill, page: Page) -> None:
    markup = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'
    document_id = docmill.upload(
        markup.replace('"', "%22").replace("/", "∕") + ".html",  # noqa: RUF001 - names have no /
        f"<p>{WORD}2 &lt;script&gt;window.ran=1&lt;/script&gt;</p>".encode(),
        collection=markup,
        external_id=markup,
        metadata=json.dumps({"a": markup}),
    )
    docmill.ended(document_id)
    for address in ("/", f"/view/{document_id}", f"/search?q={WORD}2", f"/?collection={markup}"):
        page.goto(docmill.url + address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.ran") is None
        assert page.locator("img, main script, b").count() == 0


def test_files_dropped_on_any_view_are_taken(
    docmill: Docmill, page: Page, views: dict[str, str]
) -> None:
    show(page, docmill, views, "operator")
    name = f"{uuid4().hex}.txt"
    seeing.drop(page, [(name, "dropped text")])
    expect(page).to_have_url(f"{docmill.url}/")
    is_in_state(row(page, name), "completed")
    expect(upload_row(page, name)).to_have_count(0)
