"""The page where one has to sign in: what a person sees of it, and what another person does not."""

import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

import seeing
from docmill import api_keys
from docmill.api_keys import NewKey
from guarded import Guarded, guarded_docmill
from running import until
from seeing import PATIENT, choose, is_in_state, row, sentence, upload_row

SLOW = 1e6  # bytes a second


@pytest.fixture(scope="module")
def guarded(admin_url: str) -> Iterator[Guarded]:
    with guarded_docmill(admin_url) as served:
        yield served


@pytest.fixture
def owner() -> str:
    return f"owner {uuid4().hex}"


def field(page: Page) -> Locator:
    return page.get_by_label("Key or token")


def sign_in(page: Page, credential: str) -> None:
    field(page).fill(credential)
    field(page).press("Enter")
    expect(page.locator("sign-in")).to_have_count(0)


def looked_again(page: Page) -> None:
    """The page asks at once, as it does when its network is back."""
    page.evaluate("window.dispatchEvent(new Event('online'))")


def is_signed_out(page: Page) -> None:
    expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()


def has_document(guarded: Guarded, owner: str, text: str = "") -> str:
    """A finished document of this owner; its file's name."""
    name = f"{uuid4().hex}.txt"
    text = text or f"told at the mill {name}"
    somebody = guarded.somebody(owner=owner)
    somebody.completed(somebody.upload(name, text.encode()))
    return name


# signing in ------------------------------------------------------------------------------


def test_who_shows_a_key_sees_their_documents_and_is_named(
    guarded: Guarded, page: Page, owner: str
) -> None:
    name = has_document(guarded, owner)
    made = guarded.key(owner)
    page.goto(guarded.docmill.url)
    is_signed_out(page)
    expect(page.locator("document-row, upload-zone")).to_have_count(0)
    expect(field(page)).to_be_focused()
    expect(page.locator("sign-in .help")).to_contain_text("docmill keys create --owner NAME")
    page.keyboard.type(made.text)
    page.keyboard.press("Enter")
    expect(row(page, name)).to_be_visible()
    expect(page.locator(".who")).to_contain_text(made.id)
    assert page.evaluate("[document.cookie, ...Object.keys(localStorage)]") == [""]
    page.reload()
    expect(row(page, name)).to_be_visible()


def test_a_token_of_the_identity_provider_is_as_good_as_a_key(guarded: Guarded, page: Page) -> None:
    page.goto(guarded.docmill.url)
    sign_in(page, guarded.provider.token(str(uuid4())))
    expect(page.locator(".welcome")).to_be_visible()


@pytest.mark.usefixtures("signed_in")
def test_a_first_visit_says_what_will_happen_and_offers_a_sample(page: Page) -> None:
    expect(page.locator(".welcome")).to_contain_text("It is uploaded, read page by page")
    page.get_by_role("button", name="Try it with a sample").click()
    is_in_state(row(page, "how-docmill-works.pdf"), "completed")
    expect(page.locator(".welcome")).to_be_hidden()


@pytest.mark.parametrize(
    "address", ["/", "/search?q=mill", "/operator", "/view/5d1c0a7f-b3e9-4cc8-a61e-2d4b9f70c835"]
)
def test_every_view_asks_a_stranger_to_sign_in(guarded: Guarded, page: Page, address: str) -> None:
    page.goto(guarded.docmill.url + address)
    is_signed_out(page)
    expect(page.locator("#view > *")).to_have_count(0)


def test_the_view_that_was_asked_for_is_shown_after_signing_in(
    guarded: Guarded, page: Page, owner: str
) -> None:
    said = f"{uuid4().hex} behind the door"
    name = has_document(guarded, owner, said)
    page.goto(f"{guarded.docmill.url}/search?q={said}")
    sign_in(page, guarded.key(owner).text)
    expect(page.locator("#hits li").first).to_contain_text(name)


def test_a_wrong_key_is_refused_in_words_and_the_next_one_may_be_right(
    guarded: Guarded, page: Page, owner: str
) -> None:
    expired = guarded.key(owner, lasts=timedelta(seconds=-1)).text
    page.goto(guarded.docmill.url)
    field(page).press("Enter")
    problem = page.locator("sign-in").get_by_role("alert")
    expect(problem).to_have_text("Enter your key first.")
    for wrong in ("open sesame", f"dm_{'a' * 16}_{'A' * 43}", expired):
        field(page).fill(wrong)
        page.get_by_role("button", name="Sign in").click()
        expect(problem).to_contain_text("Enter another, or ask for one.")
        expect(field(page)).to_have_attribute("aria-invalid", "true")
        expect(field(page)).to_be_focused()
    sign_in(page, guarded.key(owner).text)


# a session that ends ---------------------------------------------------------------------


@pytest.fixture
def signed_in(guarded: Guarded, page: Page, owner: str) -> NewKey:
    """The key that the page was opened with."""
    made = guarded.key(owner)
    page.goto(guarded.docmill.url)
    sign_in(page, made.text)
    expect(page.get_by_role("heading", level=1)).to_have_text("Documents")
    return made


def test_a_key_that_is_revoked_keeps_what_was_known_out_of_reach_until_one_signs_in_again(
    guarded: Guarded, page: Page, owner: str, signed_in: NewKey
) -> None:
    name = has_document(guarded, owner)
    looked_again(page)
    page.get_by_placeholder("Search by name").fill(name[:9])
    expect(row(page, name)).to_be_visible()
    assert api_keys.revoke(guarded.admin, signed_in.id)
    looked_again(page)
    is_signed_out(page)
    expect(page.locator("sign-in")).to_contain_text(f"The session of key {signed_in.id} has ended.")
    expect(row(page, name)).to_be_visible()
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('#app') === null")
    page.keyboard.press("Escape")
    is_signed_out(page)
    asked = requests_of(page, lambda request: "/documents" in request.url)
    looked_again(page)
    page.wait_for_load_state("networkidle")
    assert asked == [], "nothing is asked that nobody may see"

    later = has_document(guarded, owner)
    sign_in(page, guarded.key(owner).text)
    expect(page).to_have_url(re.compile(rf"\?q={name[:9]}"))
    expect(row(page, name)).to_be_visible()
    page.get_by_placeholder("Search by name").fill("")
    expect(row(page, later)).to_be_visible()


def requests_of(page: Page, wanted: Callable[[Request], bool]) -> list[Request]:
    """The requests from now on that are wanted."""
    seen: list[Request] = []
    page.on("request", lambda request: seen.append(request) if wanted(request) else None)
    return seen


def test_an_upload_waits_for_its_person_and_goes_on_where_it_was_committed(
    guarded: Guarded, page: Page, owner: str, tmp_path: Path, signed_in: NewKey
) -> None:
    network = seeing.Network(page)
    network.upload_at(10 * SLOW)
    path = seeing.file(tmp_path, b"\0\1\2" + os.urandom(20_000_000), ".bin")
    with page.expect_response(lambda answer: answer.request.method == "PATCH", timeout=PATIENT):
        choose(page, path)
    assert api_keys.revoke(guarded.admin, signed_in.id)
    network.upload_at(-1)
    is_signed_out(page)
    shown = sentence(upload_row(page, path.name))
    expect(shown).to_contain_text("Waiting for you to sign in", timeout=PATIENT)
    patches = requests_of(page, lambda request: request.method == "PATCH")
    sign_in(page, guarded.key(owner).text)
    is_in_state(row(page, path.name), "failed")  # it is of no type that docmill knows
    assert int(patches[0].headers["upload-offset"]) >= 8 << 20
    somebody = guarded.somebody(owner=owner).http
    (document,) = somebody.get("/documents", params={"q": path.name}).json()["documents"]
    content = somebody.get(f"/documents/{document['document_id']}/content").content
    assert content == path.read_bytes()


def test_signing_in_on_one_page_opens_the_others_of_the_same_browser(
    guarded: Guarded, page: Page, owner: str, signed_in: NewKey
) -> None:
    second = page.context.new_page()
    with seeing.watched(second):
        second.goto(guarded.docmill.url)
        expect(second.locator("upload-zone")).to_be_visible()
        assert api_keys.revoke(guarded.admin, signed_in.id)
        for opened in (page, second):
            looked_again(opened)
            is_signed_out(opened)
        sign_in(page, guarded.key(owner).text)
        expect(second.locator("sign-in")).to_have_count(0)


# leaving ---------------------------------------------------------------------------------


def test_who_signs_out_leaves_nothing_to_be_seen_not_even_by_the_way_back(
    guarded: Guarded, page: Page, owner: str, signed_in: NewKey
) -> None:
    name = has_document(guarded, owner)
    looked_again(page)
    row(page, name).locator(".name").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.get_by_role("button", name="Sign out").click()
    is_signed_out(page)
    expect(page.locator("#view > *")).to_have_count(0)
    page.go_back()
    is_signed_out(page)
    expect(page.get_by_text(name)).to_have_count(0)
    sessions = "select count(*) as open from browser_sessions where key_id = %s"
    found = guarded.admin.execute(sessions, [signed_in.id]).fetchone()
    assert found == {"open": 0}


@pytest.mark.usefixtures("signed_in")
def test_signing_out_while_files_are_on_their_way_is_asked_about(
    guarded: Guarded, page: Page, owner: str, tmp_path: Path
) -> None:
    network = seeing.Network(page)
    network.upload_at(SLOW)
    path = seeing.file(tmp_path, b"\0\1\2" + os.urandom(4_000_000), ".bin")
    choose(page, path)
    expect(sentence(upload_row(page, path.name))).to_contain_text("Uploading 1")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 file is not uploaded yet.")
    page.get_by_role("button", name="Stay signed in").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    is_signed_out(page)
    network.upload_at(-1)
    sign_in(page, guarded.key(owner).text)
    expect(sentence(upload_row(page, path.name))).to_contain_text("Interrupted", timeout=PATIENT)
    choose(page, path)
    is_in_state(row(page, path.name), "failed")


def test_the_next_person_in_the_same_browser_sees_nothing_of_the_first(
    guarded: Guarded, page: Page, owner: str, tmp_path: Path, signed_in: NewKey
) -> None:
    name = has_document(guarded, owner)
    looked_again(page)
    row(page, name).locator(".name").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.get_by_role("link", name="Documents", exact=True).click()
    network = seeing.Network(page)
    network.upload_at(SLOW / 5)  # it is not through when the next person comes
    path = seeing.file(tmp_path, b"\0\1\2" + os.urandom(4_000_000), ".bin")
    choose(page, path)
    expect(sentence(upload_row(page, path.name))).to_have_text(re.compile("Uploading [1-9]"))
    assert api_keys.revoke(guarded.admin, signed_in.id)
    looked_again(page)
    is_signed_out(page)

    other = f"owner {uuid4().hex}"
    theirs = has_document(guarded, other)
    sign_in(page, guarded.key(other).text)
    expect(row(page, theirs)).to_be_visible()
    network.upload_at(-1)
    nothing_of(page, name, path.name)
    page.get_by_label("Language").select_option("Deutsch")  # draws everything anew
    nothing_of(page, name, path.name)
    choose(page, seeing.file(tmp_path / "theirs", path.read_bytes()[:99], ".bin", path.name))
    until(lambda: held_by(guarded, other) == {theirs, path.name}, "only what they chose is theirs")
    assert held_by(guarded, owner) == {name}

    page.get_by_role("button", name="Abmelden").click()
    expect(page.locator("sign-in")).to_be_visible()
    page.get_by_label("Schlüssel oder Token").fill(guarded.key(owner).text)
    page.get_by_role("button", name="Anmelden").click()
    expect(row(page, name)).to_be_visible()
    expect(sentence(upload_row(page, path.name))).to_contain_text("Unterbrochen", timeout=PATIENT)


def nothing_of(page: Page, *names: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.wait_for_load_state("networkidle")
    for name in names:
        expect(page.get_by_text(name)).to_have_count(0)
    expect(page.locator("upload-row")).to_have_count(0)


def held_by(guarded: Guarded, owner: str) -> set[str]:
    listed = guarded.somebody(owner=owner).http.get("/documents").json()["documents"]
    return {document["filename"] for document in listed}


# what a key is good for ------------------------------------------------------------------


def test_who_may_only_read_is_told_so_and_offered_nothing_else(
    guarded: Guarded, page: Page, owner: str
) -> None:
    name = has_document(guarded, owner)
    page.goto(guarded.docmill.url)
    sign_in(page, guarded.key(owner, ["read"]).text)
    expect(page.locator("upload-zone")).to_contain_text("Your key is good for reading.")
    expect(page.get_by_role("button", name=f"Download {name}")).to_be_visible()
    for absent in ("Choose files", f"Delete {name}"):
        expect(page.get_by_role("button", name=absent)).to_have_count(0)
    expect(page.get_by_role("link", name="Operator")).to_be_hidden()
    seeing.drop(page, [("dropped.txt", "text")])
    expect(page.locator(".toast")).to_contain_text("one with the scope")
    expect(page.locator("upload-row")).to_have_count(0)
    row(page, name).locator(".name").click()
    expect(page.locator(".top").get_by_role("button")).to_have_text(["Download"])


@pytest.mark.parametrize(
    ("scopes", "acts"), [(["read", "admin"], 0), (["read", "upload", "admin"], 3)]
)
def test_an_operator_looks_and_with_upload_acts(
    guarded: Guarded, page: Page, owner: str, scopes: list[str], acts: int
) -> None:
    page.goto(guarded.docmill.url)
    sign_in(page, guarded.key(owner, scopes).text)
    page.get_by_role("link", name="Operator").click()
    expect(page.locator("operator-view tbody tr").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Pause: "))).to_have_count(acts)


def test_what_a_key_is_not_good_for_is_said_and_nothing_breaks(
    guarded: Guarded, page: Page, owner: str
) -> None:
    page.goto(f"{guarded.docmill.url}/operator")
    sign_in(page, guarded.key(owner, ["read"]).text)
    expect(page.locator("#view")).to_contain_text("Your key is not good for this.")
    page.get_by_role("button", name="Sign out").click()
    is_signed_out(page)
    sign_in(page, guarded.key(owner, ["upload"]).text)
    expect(page.locator("#banner")).to_contain_text("Your key is not good for this.")


def test_with_a_key_that_may_more_the_page_offers_more(
    guarded: Guarded, page: Page, owner: str
) -> None:
    page.goto(guarded.docmill.url)
    weak = guarded.key(owner, ["read"])
    sign_in(page, weak.text)
    expect(page.locator("upload-zone")).to_contain_text("Your key is good for reading.")
    assert api_keys.revoke(guarded.admin, weak.id)
    looked_again(page)
    sign_in(page, guarded.key(owner, ["read", "upload", "admin"]).text)
    expect(page.get_by_role("button", name="Choose files")).to_be_visible()
    expect(page.get_by_role("link", name="Operator")).to_be_visible()


# for everyone ----------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_where_one_signs_in(
    guarded: Guarded, page: Page, owner: str, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    made = guarded.key(owner)
    page.goto(guarded.docmill.url)
    field(page).fill("wrong")
    field(page).press("Enter")
    expect(page.locator("sign-in").get_by_role("alert")).not_to_be_empty()
    finds_nothing(page)
    sign_in(page, made.text)
    finds_nothing(page)
    assert api_keys.revoke(guarded.admin, made.id)
    looked_again(page)
    is_signed_out(page)
    finds_nothing(page)


def finds_nothing(page: Page) -> None:
    results = Axe().run(page)
    found = [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in results.response["violations"]]
    assert found == []


@pytest.mark.parametrize("language", ["de", "en-XA", "ar-XB"])
def test_signing_in_fits_a_narrow_screen_in_every_language(
    guarded: Guarded, browser: Browser, language: str
) -> None:
    context: BrowserContext = browser.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    with seeing.watched(page):
        page.goto(f"{guarded.docmill.url}/?language={language}")
        expect(page.locator("sign-in")).to_be_visible()
        page.locator("#key").fill("wrong")
        page.locator("#key").press("Enter")
        expect(page.locator("sign-in .problem")).not_to_be_empty()
        assert page.locator("sign-in").evaluate("one => one.scrollWidth") <= 320
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
    context.close()


def test_where_nobody_signs_in_there_is_no_word_of_it(page: Page, docmill: Any) -> None:
    page.goto(docmill.url)
    expect(page.locator("upload-zone")).to_be_visible()
    expect(page.locator("sign-in, .who:visible")).to_have_count(0)
