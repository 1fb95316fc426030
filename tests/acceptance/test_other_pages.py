"""Web pages of other origins: the migration guide's, run as it stands there, and strangers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

import markdown_code
import seeing
from guarded import Guarded, guarded_docmill
from running import until
from seeing import PATIENT

GUIDE = markdown_code.titled("from-edge-functions.md")
# What an application has anyway: a session, here without the library that keeps it.
APPLICATION = """<!doctype html><meta charset="utf-8"><title>An application</title>
<link rel="icon" href="data:,">
<script>
  const data = { session: { access_token: "%s" } };
  const supabase = { auth: { getSession: async () => ({ data }) } };
</script>
<input type="file"><output></output><script type="module" src="app.js"></script>"""


@dataclass(frozen=True)
class Application:
    """A web application at an origin of its own, with the guide's code in it."""

    origin: str
    files: dict[str, str]


@contextmanager
def served_application() -> Iterator[Application]:
    files: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files[self.path].encode()
            self.send_response(200)
            kind = "text/javascript" if self.path.endswith(".js") else "text/html"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Application(f"http://127.0.0.1:{server.server_address[1]}", files)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def application() -> Iterator[Application]:
    with served_application() as served:
        yield served


@pytest.fixture(scope="module")
def guarded(admin_url: str, application: Application) -> Iterator[Guarded]:
    origins = f"https://app.example.com, {application.origin}"
    with guarded_docmill(admin_url, DOCMILL_ALLOWED_ORIGINS=origins) as served:
        yield served


@pytest.fixture
def user() -> str:
    return str(uuid4())


@pytest.fixture
def opened(guarded: Guarded, application: Application, page: Page, user: str) -> Page:
    """The application's page, for the user."""
    code = GUIDE["docmill.js"].replace("https://docmill.example.com", guarded.docmill.url)
    html = APPLICATION % guarded.provider.token(user)
    application.files.update({"/": html, "/app.js": GUIDE["app.js"], "/docmill.js": code})
    page.goto(application.origin)
    return page


def documents(guarded: Guarded, user: str) -> list[dict[str, object]]:
    http = guarded.with_credential(guarded.provider.token(user)).http
    found: list[dict[str, object]] = http.get("/documents").json()["documents"]
    return found


# the guide's code, in a browser ----------------------------------------------------------


def test_the_guides_page_uploads_and_follows_to_the_end(
    guarded: Guarded, opened: Page, user: str, tmp_path: Path
) -> None:
    path = seeing.file(tmp_path, b"moved from an edge function")
    opened.locator("input").set_input_files(str(path))
    expect(opened.locator("output")).to_have_text("completed  100 %", timeout=PATIENT)
    assert [document["filename"] for document in documents(guarded, user)] == [path.name]


def test_the_guides_page_goes_on_after_a_time_without_network(
    guarded: Guarded, opened: Page, user: str, tmp_path: Path
) -> None:
    path = seeing.file(tmp_path, b"read while nobody looked")
    failed: list[str] = []
    opened.on("requestfailed", lambda request: failed.append(request.url))
    with guarded.docmill.frozen_workers():
        opened.locator("input").set_input_files(str(path))
        expect(opened.locator("output")).to_contain_text("0 %", timeout=PATIENT)
        opened.context.set_offline(True)
        with opened.expect_event("requestfailed", timeout=PATIENT):
            pass
    until(lambda: documents(guarded, user)[0]["done"], "it ends while the page has no network")
    opened.context.set_offline(False)
    expect(opened.locator("output")).to_have_text("completed  100 %", timeout=PATIENT)
    assert failed


def test_a_page_that_is_closed_after_the_upload_is_not_missed(
    guarded: Guarded, opened: Page, user: str, tmp_path: Path
) -> None:
    with guarded.docmill.frozen_workers():
        opened.locator("input").set_input_files(str(seeing.file(tmp_path, b"and away")))
        expect(opened.locator("output")).to_contain_text("queued", timeout=PATIENT)
        opened.close()
    until(lambda: documents(guarded, user)[0]["status"] == "completed", "it ends by itself")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "Choose a file that is not empty."), (b"%PDF-1.7 and nothing", "PDF")],
)
def test_the_guides_page_says_in_words_what_is_wrong(
    opened: Page, tmp_path: Path, content: bytes, said: str
) -> None:
    opened.locator("input").set_input_files(str(seeing.file(tmp_path, content, ".pdf")))
    expect(opened.locator("output")).to_contain_text(said, timeout=PATIENT)


# strangers -------------------------------------------------------------------------------

ASKING = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, idempotency-key",
}


def test_only_named_origins_are_told_that_they_may(
    guarded: Guarded, application: Application
) -> None:
    stranger = guarded.with_credential(None).http
    for origin in ("https://app.example.com", application.origin):
        asked = stranger.options("/documents", headers={"Origin": origin, **ASKING})
        assert asked.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in asked.headers
    for origin in ("https://evil.example", "null", "https://app.example.com.evil.example"):
        asked = stranger.options("/documents", headers={"Origin": origin, **ASKING})
        assert (asked.status_code, asked.headers.get("access-control-allow-origin")) == (400, None)
        answer = stranger.get("/documents", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers


def test_refusals_can_be_read_by_pages_that_may_ask(
    guarded: Guarded, application: Application
) -> None:
    refused = guarded.with_credential(None).http.get(
        "/documents", headers={"Origin": application.origin}
    )
    assert refused.json()["code"] == "NOT_AUTHENTICATED"
    assert refused.headers["access-control-allow-origin"] == application.origin
    assert "Retry-After" in refused.headers["access-control-expose-headers"]


def test_a_visitors_cookie_is_no_good_for_a_page_that_may_ask(
    guarded: Guarded, application: Application
) -> None:
    browser = guarded.with_credential(None).http
    browser.post("/session", json={"key": guarded.key("a").text})
    from_there = {"Origin": application.origin}
    for method, path in (("DELETE", f"/documents/{uuid4()}"), ("POST", "/session")):
        answer = browser.request(method, path, headers=from_there)
        assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_REFUSED")
