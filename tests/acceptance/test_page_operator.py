"""The operator's view, by what a person sees."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from made_files import noise
from running import Docmill, until
from seeing import PATIENT

FEW = 3


@pytest.fixture
def operating(docmill: Docmill, page: Page) -> Page:
    page.goto(f"{docmill.url}/operator")
    expect(page.get_by_role("heading", name="Stages")).to_be_visible()
    return page


def stage(page: Page, name: str) -> Locator:
    return page.locator("section[aria-labelledby=stages-title] tr").filter(has_text=name)


def test_a_stage_is_paused_and_everybody_is_told_why_documents_wait(
    docmill: Docmill, operating: Page
) -> None:
    operating.get_by_role("button", name="Pause: Embed").click()
    try:
        expect(stage(operating, "Embed")).to_contain_text("paused")
        document_id = docmill.upload("held.txt", uuid4().hex.encode())
        expect(stage(operating, "Embed").locator("td").nth(1)).to_have_text("1", timeout=PATIENT)
        operating.get_by_role("link", name="Documents").click()
        expect(operating.locator("#banner")).to_contain_text("An operator has paused: Embed")
        operating.get_by_role("link", name="Operator").click()
    finally:
        operating.get_by_role("button", name="Resume: Embed").click()
    docmill.completed(document_id)
    did = operating.locator("section[aria-labelledby=actions-title]")
    expect(did).to_contain_text("resumed Embed")
    expect(did).to_contain_text("local")


def test_a_limit_is_set_and_taken_away(docmill: Docmill, operating: Page) -> None:
    limit = operating.get_by_label("Most jobs at once: Read")
    limit.fill("3")
    limit.press("Enter")

    def has(most: int | None) -> bool:
        stages = docmill.http.get("/operator/overview").json()["stages"]
        return bool(stages[0]["max_running"] == most)

    until(lambda: has(3), "the limit is set")
    limit.fill("")
    limit.press("Enter")
    until(lambda: has(None), "the limit is gone")


def test_a_worker_is_drained_and_let_on(docmill: Docmill, operating: Page) -> None:
    worker = docmill.http.get("/operator/overview").json()["workers"][0]["id"]
    shown = operating.locator("section[aria-labelledby=workers-title] tr").filter(has_text=worker)
    expect(shown).to_contain_text("Live")
    operating.get_by_role("button", name=f"Drain: {worker}").click()
    expect(shown).to_contain_text("Drained", timeout=PATIENT)
    operating.get_by_role("button", name=f"Let on: {worker}").click()
    expect(shown).to_contain_text("Live", timeout=PATIENT)


def test_that_nobody_works_is_told_to_those_who_wait(docmill: Docmill, operating: Page) -> None:
    def beats() -> dict[str, str]:
        workers = docmill.http.get("/operator/overview").json()["workers"]
        return {worker["id"]: worker["seen_at"] for worker in workers}

    def drain(*, draining: bool) -> None:
        for worker in beats():
            docmill.http.post(f"/operator/workers/{worker}", json={"draining": draining})

    drain(draining=True)
    try:
        before = beats()
        until(lambda: all(at > before[of] for of, at in beats().items()), "each has heard of it")
        document_id = docmill.upload("waits.txt", uuid4().hex.encode())
        operating.get_by_role("link", name="Documents").click()
        banner = operating.locator("#banner")
        expect(banner).to_contain_text("No worker claims work", timeout=PATIENT)
    finally:
        drain(draining=False)
    docmill.completed(document_id)
    expect(banner).to_be_hidden(timeout=PATIENT)


def test_documents_that_failed_alike_are_retried_in_one_go(
    docmill: Docmill, operating: Page
) -> None:
    made = [
        docmill.upload(f"{n}.pdf", b"%%PDF-1.7 broken %d" % n + uuid4().bytes) for n in range(FEW)
    ]
    before = {document_id: docmill.ended(document_id)["version"] for document_id in made}
    failure = operating.locator("section[aria-labelledby=failures-title] tr").filter(
        has_text="FILE_UNREADABLE"
    )
    expect(failure).to_contain_text("The file can't be read", timeout=PATIENT)
    failure.get_by_role("button", name="Retry all").click()
    operating.get_by_role("dialog").get_by_role("button", name="Leave them").click()
    assert all(docmill.status(of)["version"] == version for of, version in before.items())
    failure.get_by_role("button", name="Retry all").click()
    operating.get_by_role("dialog").get_by_role("button", name="Retry all").click()
    until(
        lambda: all(docmill.status(of)["version"] > version for of, version in before.items()),
        "each is retried",
    )
    did = operating.locator("section[aria-labelledby=actions-title]")
    expect(did).to_contain_text("that failed with FILE_UNREADABLE", timeout=PATIENT)
    for document_id in made:
        docmill.ended(document_id)


def test_the_history_is_drawn_from_samples_and_walked_by_keys(operating: Page) -> None:
    caption = operating.locator("stacked-chart .caption")
    expect(caption).to_contain_text("Read")
    operating.locator("stacked-chart .drawing").focus()
    operating.keyboard.press("Home")
    expect(caption).to_contain_text("Embed")
    operating.get_by_label("How far back").select_option("Last 6 hr")
    expect(operating.locator(".chart .axis text").last).to_be_visible()


def test_the_view_can_be_held_still(docmill: Docmill, operating: Page) -> None:
    asked: list[str] = []
    operating.on("request", lambda request: asked.append(request.url))
    operating.get_by_label("Live").uncheck()
    operating.wait_for_load_state("networkidle")
    asked.clear()
    docmill.upload("unseen.txt", uuid4().hex.encode())
    operating.evaluate("window.dispatchEvent(new Event('online'))")
    operating.get_by_label("Live").check()
    expect(operating.get_by_label("Live")).to_be_checked()
    until(lambda: any("/operator/overview" in url for url in asked), "it looks again")
    assert len(asked) <= 2, asked


# who may only look -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def only_looking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docmill]:
    folder = tmp_path_factory.mktemp("looking")
    env = {"DOCMILL_OPERATOR": "read"}
    served = Docmill(folder / "data", "--workers", "1", env=env)
    yield served
    assert served.stop() == 0


def test_who_may_only_look_is_offered_nothing_to_do(only_looking: Docmill, page: Page) -> None:
    page.goto(f"{only_looking.url}/operator")
    expect(page.locator("section[aria-labelledby=workers-title]")).to_contain_text("Live")
    assert page.locator("table button, table input").count() == 0


def test_on_a_phone_everything_is_in_sight_and_tables_are_still_tables(
    docmill: Docmill, operating: Page
) -> None:
    docmill.ended(docmill.upload(f"{uuid4().hex}.bin", noise()))
    operating.set_viewport_size({"width": 320, "height": 640})
    retry = operating.get_by_role("button", name=re.compile("^Retry all")).first
    expect(retry).to_be_visible(timeout=PATIENT)
    for act in operating.locator("[data-act]").all():
        box = act.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320
    workers = operating.get_by_role("table").filter(has=operating.get_by_text("Live")).first
    expect(workers.get_by_role("columnheader", name="Holds")).to_have_count(1)
    expect(workers.get_by_role("row").first.get_by_role("columnheader")).to_have_count(3)
