"""The pictures in docs/screenshots: each view, light and dark, on a desk and on a phone.

A docmill of its own takes this repository's pages as documents, and some that fail. Its workers
stand still while they are photographed, so that there is something on its way. What the pictures
show of the past hour is made up.
"""

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import made_files  # noqa: E402 - beside the tests, which this is not one of
from docmill import database, embedded_postgres  # noqa: E402
from guarded import guarded_docmill  # noqa: E402
from running import Docmill, until  # noqa: E402

OUT = ROOT / "docs" / "screenshots"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
# Long leases, for workers that stand still; little memory and patience, for a parser that fails.
SETTINGS = {
    "DOCMILL_LEASE_SECONDS": "600",
    "DOCMILL_PARSE_MEMORY_BYTES": "256MiB",
    "DOCMILL_BACKOFF_SECONDS": "900",
    "DOCMILL_BACKOFF_CAP_SECONDS": "1800",
    "DOCMILL_MAX_UPLOAD_BYTES": "200MB",
}
LETTER = (
    "Dear Sir, the lock at the upper weir has held through the frost, and the new wheel turns as"
    " evenly as one could wish. I enclose the account of the grain that was brought in since"
    " Michaelmas, and beg you to send the mason before the river rises again. "
)
SENT_ENOUGH = re.compile(r"^[4-9](\.\d)? MB of")
# Of the last hour, by minutes before now: how many jobs of each stage waited or ran.
PAST = {
    "parse": lambda ago: max(0, 46 - abs(38 - ago) * 3) + (ago % 3),
    "chunk": lambda ago: max(0, 9 - abs(34 - ago)) + (ago % 2),
    "embed": lambda ago: max(0, 58 - abs(29 - ago) * 3) + (ago % 4),
}


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: a view, its address, what must be there before it is taken."""

    name: str
    address: str
    ready: str
    scheme: Any = "light"
    size: Any = None

    @property
    def file(self) -> Path:
        """Where it goes."""
        size = "phone" if self.size is PHONE else "desk"
        return OUT / f"{self.name}-{size}-{self.scheme}.png"


def main() -> None:
    """Take all pictures, or those whose names are given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as documents or search; all if none")
    names = parser.parse_args().names
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright, a_docmill() as docmill:
        unsandboxed = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium(), args=unsandboxed)
        if not names or "first-visit" in names:
            for scheme in ("light", "dark"):
                take(browser, docmill, Shot("first-visit", "/", "#sample", scheme, DESK))
        if not names or "sign-in" in names:
            take_sign_in(browser, docmill)
        ids = fill(docmill)
        with docmill.frozen_workers():
            for shot in shots(ids):
                if not names or shot.name in names:
                    take(browser, docmill, shot)
            if not names or "uploads" in names:
                take_uploads(browser, docmill)
        browser.close()


def chromium() -> str:
    """The system's browser."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "no Chromium; scripts/ensure-tools.sh says how to get one"
    return path


@contextmanager
def a_docmill() -> Iterator[Docmill]:
    """A docmill that nobody else uses."""
    folder = Path(tempfile.mkdtemp(prefix="docmill-screenshots-"))
    docmill = Docmill(folder / "data", env=SETTINGS)
    try:
        yield docmill
    finally:
        docmill.stop()
        shutil.rmtree(folder)


# what is on them -------------------------------------------------------------------------


def fill(docmill: Docmill) -> dict[str, str]:
    """Documents in every state; the ids of those with a picture of their own."""
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]):
        docmill.upload(path.name, path.read_bytes(), collection="Handbook")
    sample = ROOT / "src" / "docmill" / "sample" / "how-docmill-works.pdf"
    docmill.upload(sample.name, sample.read_bytes())
    letters = made_files.pdf(*(f"Letter {n}. {LETTER * 9}" for n in range(1, 241)))
    ids = {"document": docmill.upload("Letters of the mill, 1890-1910.pdf", letters)}
    docmill.upload("Scan of the deed.pdf", made_files.pdf(""), collection="Archive")
    docmill.upload("firmware-2.4.1-rc2.bin", made_files.noise())
    broken = b"%PDF-1.7\nnot a PDF behind its first line"
    ids["failed"] = docmill.upload("Quarterly export, final (2).pdf", broken)
    until(lambda: unfinished(docmill) == 0, "all of it has ended")
    docmill.upload("Plans with a loop.pdf", made_files.pdf_that_calls_itself())
    until(lambda: waits(docmill), "one waits for its next try")
    make_up_the_past(docmill)
    long = made_files.pdf(*(f"Page {n}. {LETTER * 6}" for n in range(1, 2401)))
    on_its_way = docmill.upload("Survey of the river, volume 3.pdf", long)
    until(lambda: is_half_read(docmill.status(on_its_way)), "it is in the middle of being read")
    return ids


def unfinished(docmill: Docmill) -> int:
    counts = docmill.http.get("/documents?ids=&summary=true").json()["summary"]["counts"]
    return int(counts["queued"] + counts["processing"])


def waits(docmill: Docmill) -> bool:
    documents = docmill.http.get("/documents?status=processing").json()["documents"]
    return any(document["next_attempt_at"] for document in documents)


def is_half_read(status: dict[str, Any]) -> bool:
    parse = status["progress"]["parse"]
    return bool(parse["total"] and parse["done"] > 0.3 * parse["total"])


def make_up_the_past(docmill: Docmill) -> None:
    """An hour of samples, as a busy hour would leave them."""
    rows = [
        (ago, stage, of(ago), min(of(ago), 4), of(ago) * 2 or None, of(ago + 1), int(ago % 17 == 0))
        for ago in range(1, 60)
        for stage, of in PAST.items()
    ]
    rows += [
        (ago, "document", sum(depths) // 3, 2, depths[0] * 2, 3 + ago % 5, int(ago % 17 == 0))
        for ago in range(1, 60)
        for depths in [[of(ago) for of in PAST.values()]]
    ]
    with database.connect(admin_url(docmill), autocommit=True) as admin:
        admin.cursor().executemany(
            "insert into docmill.queue_samples (at, subject, waiting, running, oldest_seconds,"
            " finished, failed) values (date_trunc('minute', now()) - %s * interval '1 minute',"
            " %s, %s, %s, %s, %s, %s) on conflict do nothing",
            rows,
        )


def admin_url(docmill: Docmill) -> str:
    """The address of its database, for a superuser."""
    data_dir = Path(docmill.started.process.args[-1])  # type: ignore[arg-type, index]
    return embedded_postgres.start(data_dir).admin_url  # finds it running


def shots(ids: dict[str, str]) -> Iterator[Shot]:
    """What is photographed while the workers stand still."""
    question = "what happens when a worker is killed"
    views = [
        ("documents", "/", "document-row"),
        ("document", f"/view/{ids['document']}", "[data-bar]"),
        ("failed-document", f"/view/{ids['failed']}", ".trouble"),
        ("search", f"/search?q={question}", "#hits li"),
        ("operator", "/operator", "operator-view .holds li"),
    ]
    for name, address, ready in views:
        for scheme in ("light", "dark"):
            yield Shot(name, address, ready, scheme, DESK)
        yield Shot(name, address, ready, "light", PHONE)


# the camera ------------------------------------------------------------------------------


@contextmanager
def opened(browser: Browser, docmill: Docmill, shot: Shot) -> Iterator[Page]:
    """The view, as it is when it has come to rest."""
    context = browser.new_context(
        viewport=shot.size, color_scheme=shot.scheme, reduced_motion="reduce", locale="en-GB"
    )
    page = context.new_page()
    page.goto(docmill.url + shot.address)
    expect(page.locator(shot.ready).first).to_be_visible(timeout=60_000)
    page.wait_for_load_state("networkidle")
    yield page
    context.close()


def take(browser: Browser, docmill: Docmill, shot: Shot) -> None:
    with opened(browser, docmill, shot) as page:
        save(page, shot)


def save(page: Page, shot: Shot) -> None:
    page.screenshot(path=shot.file)
    print(json.dumps({shot.file.name: shot.file.stat().st_size}))


def take_sign_in(browser: Browser, docmill: Docmill) -> None:
    """What somebody sees who has to show a key first."""
    with guarded_docmill(admin_url(docmill)) as guarded:
        for scheme, size in (("light", DESK), ("dark", DESK), ("light", PHONE)):
            take(browser, guarded.docmill, Shot("sign-in", "/", "sign-in", scheme, size))


def take_uploads(browser: Browser, docmill: Docmill) -> None:
    """Files on their way over a slow network, one of them paused and one refused."""
    folder = Path(tempfile.mkdtemp(prefix="docmill-uploads-"))
    sizes = {
        "Land register, parcel 12.pdf": 9_000_000,
        "Interview with the miller.m4a.txt": 6_000_000,
        "Wheel drawings.docx": 4_000_000,
        "Empty note.txt": 0,
        "Photographs of the weir.pdf": 18_000_000,
        "Tax return 2025.xlsx": 1_200_000,
    }
    for name, size in sizes.items():
        (folder / name).write_bytes(os.urandom(size))
    for scheme, size in (("light", DESK), ("dark", DESK), ("light", PHONE)):
        shot = Shot("uploads", "/", "document-row", scheme, size)
        with opened(browser, docmill, shot) as page:
            network = page.context.new_cdp_session(page)
            network.send("Network.enable")
            slow = {"offline": False, "latency": 0, "downloadThroughput": -1}
            slow["uploadThroughput"] = 1_000_000
            network.send("Network.emulateNetworkConditions", slow)
            page.locator("#files").set_input_files([str(folder / name) for name in sizes])
            expect(page.locator("upload-row[data-state=sending]")).to_have_count(3)
            page.get_by_role("button", name="Pause Tax return 2025.xlsx").click()
            total = page.locator("upload-panel .total")
            expect(total).to_contain_text(SENT_ENOUGH, timeout=60_000)
            page.evaluate("window.scrollTo(0, 0)")
            save(page, shot)
            page.get_by_role("button", name="Cancel all").click()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
