"""Hostile files harm themselves only: the others go on, and nothing is left of any of them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from docmill.lifecycle import ENDED
from hostile import CASES
from hostile.cases import end_of
from hostile.good_files import whole_files
from hostile.text_files import scripts_without_end
from running import Docmill, until

HOGS = 2
BESIDE = [
    *(
        "bomb.docx",
        "laughs.docx",
        "groups-100000-deep.pptx",
        "password.docx",
        "million-entries.docx",
    ),
    *("outside.html", "page-tree-in-a-circle.pdf", "pdf-and-archive.pdf", "heading-of-spaces.md"),
    *("noise.txt", "deep.ipynb", "size-is-a-lie.docx", "accents-without-end.txt"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="docmill-hostile-"))
    (folder / "temporary").mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def docmill(folder: Path) -> Iterator[Docmill]:
    where = {"DOCMILL_WORKERS": "2", "TMPDIR": str(folder / "temporary")}
    served = Docmill(folder / "data", env=where)
    yield served
    if served.started.process.poll() is None:
        served.stop()


def test_good_documents_complete_while_hostile_ones_are_worked_on(
    docmill: Docmill, folder: Path
) -> None:
    hogs = [docmill.upload(f"{n}.html", scripts_without_end(400_000 + n)) for n in range(HOGS)]
    until(lambda: all(docmill.status(hog)["stage"] for hog in hogs), "workers read the hogs")

    bad = {name: docmill.upload(name, CASES[name].make()) for name in BESIDE}
    good = [docmill.upload(name, content) for name, content in whole_files().items()]
    for document_id in good:
        docmill.completed(document_id)

    assert [docmill.status(hog)["status"] for hog in hogs] == ["processing"] * HOGS
    assert list((folder / "temporary").iterdir()) == []
    for name, document_id in bad.items():
        status = docmill.ended(document_id)
        assert end_of(status) in CASES[name].ends
        assert status["error"] is None or status["error"]["detail"].endswith(".")
    for hog in hogs:
        docmill.http.post(f"/documents/{hog}/cancel")
        assert docmill.ended(hog)["status"] in ENDED
    assert docmill.stop() == 0, "\n".join(docmill.started.said)
    assert list((folder / "temporary").iterdir()) == []
