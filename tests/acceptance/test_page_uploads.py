"""Files on their way from the browser to the server, by what a person sees and does."""

import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, Request, expect

import seeing
from cable import Cable
from docmill import database, embedded_postgres
from running import Docmill, until
from seeing import PATIENT, choose, is_in_state, row, sentence, upload_row

SLOW = 1e6  # bytes a second
TAKEN = 20_000.0  # milliseconds; a folder is in the list at once
FILES = 200


@pytest.fixture
def network(opened: Page) -> seeing.Network:
    return seeing.Network(opened)


@pytest.fixture
def cable(docmill: Docmill) -> Iterator[Cable]:
    """What lies between the browser and the server."""
    plugged = Cable(int(docmill.url.rpartition(":")[2]))
    yield plugged
    plugged.close()


def slow_file(folder: Path, megabytes: int = 4) -> Path:
    """A file that takes long to send and ends at once: it is of no type that docmill knows."""
    return seeing.file(folder, b"\0\1\2" + os.urandom(megabytes * 1_000_000 - 3), ".bin")


def test_bytes_are_shown_while_they_leave_and_going_is_warned_about_until_then(
    opened: Page, network: seeing.Network, tmp_path: Path
) -> None:
    network.upload_at(SLOW)
    path = slow_file(tmp_path)
    choose(opened, path)
    shown = upload_row(opened, path.name)
    expect(sentence(shown)).to_have_text(re.compile(r"^Uploading [1-3](\.\d)? MB of 4 MB$"))
    bar = shown.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuetext", re.compile("Uploading"))
    expect(opened.get_by_role("heading", name="Uploading 1 file")).to_be_visible()
    expect(opened).to_have_title(re.compile(r"^\(\d+\) Documents"))
    opened.locator("h1").click()  # browsers warn only for pages that somebody touched
    with opened.expect_event("dialog") as warning:
        opened.evaluate("setTimeout(() => location.reload(), 0)")
    assert warning.value.type == "beforeunload"
    warning.value.dismiss()
    network.upload_at(-1)
    expect(opened.locator(".toast")).to_contain_text(
        "You can close this page now.", timeout=PATIENT
    )
    is_in_state(row(opened, path.name), "failed")
    opened.reload()  # a dialog would hold this up
    expect(row(opened, path.name)).to_be_visible()


def test_an_upload_is_paused_resumed_and_cancelled(
    docmill: Docmill, opened: Page, network: seeing.Network, tmp_path: Path
) -> None:
    network.upload_at(SLOW)
    kept, dropped = slow_file(tmp_path), slow_file(tmp_path)
    choose(opened, kept, dropped)
    expect(sentence(upload_row(opened, kept.name))).to_contain_text("Uploading 1")
    opened.get_by_role("button", name=f"Pause {kept.name}").click()
    expect(sentence(upload_row(opened, kept.name))).to_contain_text("Paused at")
    opened.get_by_role("button", name=f"Cancel the upload of {dropped.name}").click()
    expect(upload_row(opened, dropped.name)).to_have_count(0)
    network.upload_at(-1)
    opened.get_by_role("button", name=f"Resume {kept.name}").click()
    is_in_state(row(opened, kept.name), "failed")
    listed = docmill.http.get("/documents", params={"q": dropped.name}).json()["documents"]
    assert listed == []


def test_all_uploads_are_paused_resumed_and_cancelled_together(
    docmill: Docmill, opened: Page, network: seeing.Network, tmp_path: Path
) -> None:
    network.upload_at(SLOW)
    paths = [slow_file(tmp_path, 2) for _ in range(5)]
    choose(opened, *paths)
    expect(opened.get_by_role("heading", name="Uploading 5 files, 0 accepted")).to_be_visible()
    expect(opened.locator("upload-panel .total")).to_contain_text(re.compile(r"of 10 MB · about"))
    opened.get_by_role("button", name="Pause all").click()
    expect(opened.locator("upload-row[data-state=paused]")).to_have_count(5)
    opened.get_by_role("button", name="Resume all").click()
    expect(opened.locator("upload-row[data-state=sending]")).to_have_count(3)
    expect(opened.locator("upload-row[data-state=waiting]")).to_have_count(2)
    opened.get_by_role("button", name="Cancel all").click()
    expect(opened.locator("upload-panel")).to_be_hidden()
    for path in paths:
        found = docmill.http.get("/documents", params={"q": path.name}).json()["documents"]
        assert found == []


def test_without_a_network_an_upload_waits_and_goes_on_by_itself(
    docmill: Docmill, page: Page, cable: Cable, tmp_path: Path
) -> None:
    page.goto(cable.url)
    network = seeing.Network(page)
    network.upload_at(SLOW)
    path = slow_file(tmp_path)
    choose(page, path)
    expect(sentence(upload_row(page, path.name))).to_contain_text("Uploading 1")
    network.cut()  # for the browser to know
    cable.pull()
    expect(sentence(upload_row(page, path.name))).to_contain_text("Waiting for the network")
    expect(page.locator("#banner")).to_contain_text("Service unreachable", timeout=PATIENT)
    cable.plug()
    network.upload_at(-1)
    is_in_state(row(page, path.name), "failed")
    found = docmill.http.get("/documents", params={"q": path.name}).json()["documents"]
    assert len(found) == 1


def test_an_upload_that_stands_still_is_told(docmill: Docmill, page: Page, tmp_path: Path) -> None:
    page.clock.install()
    page.goto(docmill.url)
    expect(page.locator("#files")).to_be_attached()
    expect(page.locator(".skeleton")).to_be_hidden()
    seeing.Network(page).upload_at(SLOW / 1e3)  # less would hold up questions, too
    path = slow_file(tmp_path, 1)
    choose(page, path)
    expect(sentence(upload_row(page, path.name))).to_have_text(re.compile("Uploading [1-9]"))
    page.clock.fast_forward("01:00")
    expect(sentence(upload_row(page, path.name))).to_contain_text("Nothing has moved for a while")
    page.get_by_role("button", name=f"Cancel the upload of {path.name}").click()


def test_a_file_that_is_in_the_list_or_on_the_server_already_is_told_and_not_doubled(
    docmill: Docmill, opened: Page, network: seeing.Network, tmp_path: Path
) -> None:
    network.upload_at(SLOW)
    path = slow_file(tmp_path, 2)
    choose(opened, path)
    choose(opened, path)
    refused = opened.locator("upload-row[data-state=refused]")
    expect(sentence(refused)).to_contain_text("This file is in the list already.")
    network.upload_at(-1)
    opened.get_by_role("button", name=f"Try {path.name} again").click()
    told = opened.locator(".toast", has_text="1 file was here already")
    expect(told).to_be_visible(timeout=PATIENT)
    found = docmill.http.get("/documents", params={"q": path.name}).json()["documents"]
    assert len(found) == 1


# small files -----------------------------------------------------------------------------


def uploading(page: Page) -> list[str]:
    """The methods of the requests by which files are uploaded from now on."""
    methods: list[str] = []
    page.on("request", lambda one: methods.append(one.method) if "/uploads" in one.url else None)
    return methods


def small_file(folder: Path) -> Path:
    return seeing.file(folder, b"\0\1\2" + os.urandom(900_000), ".bin")


def test_a_small_file_is_sent_by_one_request_and_leaves_no_note(
    opened: Page, tmp_path: Path
) -> None:
    methods = uploading(opened)
    paths = [small_file(tmp_path) for _ in range(4)]
    choose(opened, *paths)
    for path in paths:
        is_in_state(row(opened, path.name), "failed")
    assert methods == ["POST"] * 4
    kept = """new Promise((resolve) => {
      indexedDB.open("docmill", 1).onsuccess = ({target}) =>
        target.result.transaction("uploads").objectStore("uploads").count().onsuccess =
          (counted) => resolve(counted.target.result);
    })"""
    assert opened.evaluate(kept) == 0


def test_a_small_file_that_is_cut_on_its_way_arrives_once(
    docmill: Docmill, page: Page, cable: Cable, tmp_path: Path
) -> None:
    page.goto(cable.url)
    network = seeing.Network(page)
    network.upload_at(SLOW / 10)
    path = small_file(tmp_path)
    choose(page, path)
    expect(sentence(upload_row(page, path.name))).to_have_text(re.compile("Uploading [1-9]"))
    network.cut()
    cable.pull()
    expect(sentence(upload_row(page, path.name))).to_contain_text("Waiting for the network")
    cable.plug()
    network.upload_at(-1)
    is_in_state(row(page, path.name), "failed")
    assert_arrived_once(docmill, path)


def test_a_small_file_whose_answer_is_lost_is_no_second_document(
    docmill: Docmill, page: Page, cable: Cable, tmp_path: Path
) -> None:
    page.goto(cable.url)
    expect(page.locator("#files")).to_be_attached()
    expect(page.locator(".skeleton")).to_be_hidden()
    methods = uploading(page)
    path = small_file(tmp_path)
    cable.lose_answers()
    choose(page, path)
    uploaded(docmill, path.name)
    expect(upload_row(page, path.name)).to_be_visible()
    cable.pull()
    expect(sentence(upload_row(page, path.name))).to_contain_text("Waiting for the server")
    cable.plug()
    expect(upload_row(page, path.name)).to_have_count(0, timeout=PATIENT)
    is_in_state(row(page, path.name), "failed")
    assert [method for method in methods if method != "HEAD"] == ["POST", "POST", "PATCH"]
    assert_arrived_once(docmill, path)


def assert_arrived_once(docmill: Docmill, path: Path) -> None:
    (document,) = docmill.http.get("/documents", params={"q": path.name}).json()["documents"]
    content = docmill.http.get(f"/documents/{document['document_id']}/content").content
    assert content == path.read_bytes()


# coming back -----------------------------------------------------------------------------


@pytest.fixture
def interrupted(docmill: Docmill, page: Page, tmp_path: Path) -> Path:
    """A file whose upload was cut by a reload of the page, with at least a slice on the server."""
    page.goto(docmill.url)
    path = slow_file(tmp_path, 20)
    network = seeing.Network(page)
    network.upload_at(10 * SLOW)
    with page.expect_response(lambda answer: answer.request.method == "PATCH", timeout=PATIENT):
        choose(page, path)
    network.upload_at(SLOW)
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    network.upload_at(-1)
    return path


def test_an_upload_goes_on_after_a_reload_where_it_was_committed(
    docmill: Docmill, page: Page, interrupted: Path
) -> None:
    shown = upload_row(page, interrupted.name)
    again = re.compile(rf"^Interrupted; re-select {interrupted.name} to continue at (42|84)%$")
    expect(sentence(shown)).to_have_text(again, timeout=PATIENT)
    patched: list[tuple[int, int]] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            patched.append((int(request.headers["upload-offset"]), len(patched)))

    page.on("request", note)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=f"Re-select {interrupted.name}").click()
    chooser.value.set_files(interrupted)
    is_in_state(row(page, interrupted.name), "failed")
    assert patched[0][0] >= 8 << 20, "what was acknowledged is not sent again"
    document = uploaded(docmill, interrupted.name)
    content = docmill.http.get(f"/documents/{document['document_id']}/content").content
    assert content == interrupted.read_bytes()
    page.reload()
    expect(row(page, interrupted.name)).to_be_visible()
    expect(page.locator("upload-panel")).to_be_hidden()


def test_another_file_of_the_same_name_is_not_taken_for_it(
    docmill: Docmill, page: Page, interrupted: Path
) -> None:
    expect(sentence(upload_row(page, interrupted.name))).to_contain_text(
        "Interrupted", timeout=PATIENT
    )
    interrupted.write_bytes(os.urandom(interrupted.stat().st_size))
    choose(page, interrupted)
    expect(upload_row(page, interrupted.name)).to_have_count(2)
    is_in_state(row(page, interrupted.name), "failed")
    page.get_by_role("button", name=f"Cancel the upload of {interrupted.name}").click()
    expect(page.locator("upload-panel")).to_be_hidden()
    page.reload()
    expect(row(page, interrupted.name)).to_be_visible()
    assert page.locator("upload-row").count() == 0
    document = uploaded(docmill, interrupted.name)
    content = docmill.http.get(f"/documents/{document['document_id']}/content").content
    assert content == interrupted.read_bytes()


def test_a_second_page_leaves_the_uploads_of_the_first_alone(
    docmill: Docmill, opened: Page, network: seeing.Network, tmp_path: Path
) -> None:
    network.upload_at(SLOW)
    path = slow_file(tmp_path)
    choose(opened, path)
    expect(sentence(upload_row(opened, path.name))).to_contain_text("Uploading 1")
    second = opened.context.new_page()
    with seeing.watched(second):
        second.goto(docmill.url)
        expect(second.locator(".skeleton")).to_be_hidden()
        expect(second.locator("upload-panel")).to_be_hidden()
        network.upload_at(-1)
        is_in_state(row(opened, path.name), "failed")
        until(lambda: row(second, path.name).count() == 1 or look_again(second), "both show it")


def look_again(page: Page) -> bool:
    page.evaluate("window.dispatchEvent(new Event('online'))")
    return False


@pytest.fixture
def unread(docmill: Docmill, data_dir: Path) -> Iterator[str]:
    """A collection whose documents wait to be read, and go when the test is over."""
    collection = f"Flood {uuid4().hex[:8]}"
    docmill.http.post("/operator/stages/parse", json={"paused": True})
    yield collection
    server = embedded_postgres.start(data_dir)  # finds it running
    with database.connect(server.admin_url, autocommit=True) as admin:
        admin.execute("set search_path = docmill")
        these = "collection_id = (select id from collections where name = %s)"
        admin.execute(f"delete from documents where {these}".encode(), [collection])
    docmill.http.post("/operator/stages/parse", json={"paused": False})


def test_hundreds_of_files_are_taken_at_once(
    docmill: Docmill, unread: str, opened: Page, tmp_path: Path
) -> None:
    opened.get_by_label("Into collection").fill(unread)
    choose(opened, *(seeing.file(tmp_path, f"file {n}".encode()) for n in range(FILES)))
    toast = opened.locator(".toast", has_text=f"{FILES} files are accepted")
    expect(toast).to_be_visible(timeout=PATIENT)
    asked = {"ids": "", "summary": "true", "collection": unread}
    counts = docmill.http.get("/documents", params=asked).json()["summary"]["counts"]
    assert counts["queued"] == FILES
    expect(opened.locator("document-row")).not_to_have_count(0)
    assert opened.locator("document-row").count() < 60


# ways in ---------------------------------------------------------------------------------


def uploaded(docmill: Docmill, name: str) -> dict[str, Any]:
    """The document of this name, as soon as it is there."""

    def look() -> dict[str, Any] | None:
        found = docmill.http.get("/documents", params={"q": name}).json()["documents"]
        return found[0] if found else None

    document = until(look, f"{name} is uploaded", PATIENT / 1000)
    details: dict[str, Any] = docmill.http.get(f"/documents/{document['document_id']}").json()
    return details


def a_folder(folder: Path) -> tuple[Path, str, str]:
    """A folder with a file, a file in a folder below, and what systems hide."""
    top, deep = f"{uuid4().hex}.txt", f"{uuid4().hex}.txt"
    for name in (top, f"deep/er/{deep}", ".git/config", "Thumbs.db"):
        seeing.file(folder / "papers", uuid4().hex.encode(), name=name)
    return folder / "papers", top, deep


def test_a_folder_is_chosen_with_the_paths_of_its_files_and_without_hidden_ones(
    docmill: Docmill, opened: Page, tmp_path: Path
) -> None:
    folder, top, deep = a_folder(tmp_path)
    opened.locator("#folder").set_input_files(str(folder))
    assert uploaded(docmill, top)["metadata"] == {"relative_path": f"papers/{top}"}
    assert uploaded(docmill, deep)["metadata"] == {"relative_path": f"papers/deep/er/{deep}"}
    expect(opened.locator(".toast", has_text="hidden files were left out")).to_be_visible()
    assert docmill.http.get("/documents", params={"q": "Thumbs.db"}).json()["documents"] == []


def test_a_folder_is_dropped_with_everything_below_it(
    docmill: Docmill, unread: str, page_of_whole_browser: Page, tmp_path: Path
) -> None:
    opened = page_of_whole_browser
    opened.goto(docmill.url)
    folder, top, deep = a_folder(tmp_path)
    many = [seeing.file(folder, uuid4().hex.encode()).name for _ in range(110)]  # 100 at a time
    opened.get_by_label("Into collection").fill(unread)
    drag = {"files": [str(folder)], "items": [], "dragOperationsMask": 1}
    session = opened.context.new_cdp_session(opened)

    def dropped() -> bool:
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "x": 600, "y": 400, "data": drag}
            session.send("Input.dispatchDragEvent", event)
        with contextlib.suppress(AssertionError):
            expect(opened.locator("upload-row").first).to_be_visible(timeout=TAKEN)
            return True
        return False

    # On a busy machine the browser now and then takes the drop for a leave.
    until(dropped, "the browser lets the folder go", PATIENT / 1000)
    assert uploaded(docmill, top)["metadata"] == {"relative_path": f"papers/{top}"}
    assert uploaded(docmill, deep)["metadata"] == {"relative_path": f"papers/deep/er/{deep}"}
    for name in many[::43]:
        uploaded(docmill, name)
    expect(opened.locator(".toast", has_text="112 files are accepted")).to_be_visible(
        timeout=PATIENT
    )


def test_a_file_is_pasted(docmill: Docmill, opened: Page) -> None:
    name = f"{uuid4().hex}.txt"
    expect(opened.get_by_role("heading", level=1)).to_be_visible()
    opened.evaluate(
        """(name) => {
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File(["pasted text"], name));
          document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
        }""",
        name,
    )
    is_in_state(row(opened, name), "completed")
    assert uploaded(docmill, name)["metadata"] == {}


# a docmill of its own --------------------------------------------------------------------


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        number: int = unused.getsockname()[1]
    return number


@pytest.fixture
def own(tmp_path: Path, port: int) -> Iterator[list[Docmill]]:
    """A docmill that is this test's alone: it may be killed, and started again at its address."""
    started = [Docmill(tmp_path / "data", "--port", str(port), "--workers", "1")]
    yield started
    assert started[-1].stop() == 0


def test_a_server_that_is_killed_in_the_middle_of_an_upload_gets_the_file_when_it_is_back(
    own: list[Docmill], page: Page, tmp_path: Path, port: int
) -> None:
    page.goto(own[0].url)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    network = seeing.Network(page)
    network.upload_at(SLOW)
    path = slow_file(tmp_path)
    choose(page, path)
    expect(sentence(upload_row(page, path.name))).to_contain_text("Uploading 1")
    own[0].started.process.send_signal(signal.SIGKILL)
    own[0].http.close()
    own[0].started.wait()
    expect(sentence(upload_row(page, path.name))).to_contain_text("Waiting for the server")
    expect(page.locator("#banner")).to_contain_text("Service unreachable", timeout=PATIENT)
    network.upload_at(-1)
    own.append(Docmill(tmp_path / "data", "--port", str(port), "--workers", "1"))
    is_in_state(row(page, path.name), "failed")
    expect(page.locator("#banner")).to_be_hidden()
    documents = own[1].http.get("/documents").json()["documents"]
    assert [document["filename"] for document in documents] == [path.name]
    content = own[1].http.get(f"/documents/{documents[0]['document_id']}/content").content
    assert content == path.read_bytes()


def test_who_wants_to_be_notified_is_asked_once_and_remembered(
    docmill: Docmill, page_of_whole_browser: Page
) -> None:
    page = page_of_whole_browser
    page.context.grant_permissions(["notifications"])
    page.goto(docmill.url)
    page.get_by_label("Notify me when all is done").check()
    expect(page.get_by_label("Notify me when all is done")).to_be_checked()
    page.reload()
    expect(page.get_by_label("Notify me when all is done")).to_be_checked()
    assert page.evaluate("Object.keys(localStorage)") == ["docmill.notice"]
