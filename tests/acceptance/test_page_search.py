"""Searching on the page, by what a person sees."""

from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from made_files import pdf
from running import Docmill


@pytest.fixture(scope="module")
def mark(docmill: Docmill) -> str:
    """A word that stands on page 3 of one PDF and nowhere else."""
    word = f"w{uuid4().hex}"
    pages = [f"Page {n} tells of the river. " * 40 for n in range(1, 6)]
    pages[2] += f" In the year of the flood {word} was built."
    docmill.completed(docmill.upload("chronicle.pdf", pdf(*pages)))
    return word


def test_hits_come_while_one_types_and_lead_to_the_passage(
    docmill: Docmill, page: Page, mark: str
) -> None:
    page.goto(f"{docmill.url}/search")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type(f"flood {mark}", delay=5)
    hit = page.locator("#hits li").first
    expect(hit.locator("mark")).to_have_text(f"flood {mark}")
    expect(hit).to_contain_text("page 3")
    expect(hit.locator("[data-way=text]")).to_contain_text("words")
    expect(page).to_have_url(f"{docmill.url}/search?q=flood+{mark}")
    hit.get_by_role("link", name="chronicle.pdf").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("chronicle.pdf")
    expect(page.get_by_label("Page", exact=True)).to_have_value("3")
    expect(page.locator(".text mark").last).to_contain_text(mark)
    page.go_back()
    expect(page.locator("#hits li").first).to_contain_text(mark)


def test_why_a_passage_was_found_is_told_by_both_ways_of_searching(
    docmill: Docmill, page: Page, mark: str
) -> None:
    page.goto(f"{docmill.url}/search?q={mark}&mode=text")
    hit = page.locator("#hits li").first
    expect(hit.locator("[data-way=vector]")).to_have_text("meaningnone")
    page.get_by_label("How to search").select_option("By meaning")
    expect(hit.locator("[data-way=text]")).to_have_text("wordsnone")
    expect(hit.locator("[data-way=vector]")).not_to_have_text("meaningnone")


def test_the_last_thing_typed_is_what_is_answered(docmill: Docmill, page: Page, mark: str) -> None:
    page.goto(f"{docmill.url}/search")
    for text in ("river", "river flood", f"{mark}"):
        page.locator("#query").fill(text)
    expect(page.locator("#hits mark").first).to_have_text(mark)
    page.locator("#query").fill("")
    expect(page.locator("#hits li")).to_have_count(0)


def test_nothing_found_and_a_server_away_are_told_apart(docmill: Docmill, page: Page) -> None:
    page.goto(f"{docmill.url}/search?q=!&mode=text")
    expect(page.locator("#search-message")).to_contain_text("Nothing found")
    page.context.set_offline(offline=True)
    page.locator("#query").fill("anything")
    expect(page.locator("#search-message")).to_have_text("The server can't be reached.")
    page.context.set_offline(offline=False)
    page.locator("#query").fill("anything at all")
    expect(page.locator("#search-message")).not_to_have_text("The server can't be reached.")
