"""Every document of the corpus, through the parser's own process."""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from docmill.errors import Failure
from docmill.model import Page
from docmill.parse_process import ParseLimits, ParseProcess, parser_zygote

CORPUS = Path(os.environ.get("DOCMILL_CORPUS", Path(__file__).parents[3] / "shared/corpus"))
NOT_DOCUMENTS = {"expected", "licences", "README.md"}
PICTURES = {".jpg", ".png", ".tiff"}
REFUSED = {
    "synth/empty.pdf": "FILE_UNREADABLE",
    "synth/empty.txt": "FILE_UNREADABLE",
    "synth/truncated.pdf": "FILE_UNREADABLE",
    "synth/encrypted_user.pdf": "FILE_ENCRYPTED",
    "py-pdf/libreoffice-writer-password.pdf": "FILE_ENCRYPTED",
    "markitdown/random.bin": "TYPE_UNSUPPORTED",
}
ROW = re.compile(
    r"\| (?P<name>[^|]+?) \| \w+ \| [\d,]+ \| \d* \|(?P<phrase>[^|]*)\|(?P<note>[^|]*)\|"
)

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the corpus of real documents is not here (DOCMILL_CORPUS)"
)


class Promise(NamedTuple):
    """A file of the corpus and the phrase that its README says it holds."""

    path: Path
    phrase: str


def files() -> list[Path]:
    if not CORPUS.is_dir():
        return []
    return [
        path
        for path in sorted(CORPUS.rglob("*"))
        if path.is_file() and path.relative_to(CORPUS).parts[0] not in NOT_DOCUMENTS
    ]


def promises() -> list[Promise]:
    """The rows of the README's tables; their names are relative to the section's folder."""
    folder, found = "", []
    for line in (CORPUS / "README.md").read_text().splitlines() if CORPUS.is_dir() else []:
        if line.startswith("### "):
            folder = line.split()[1]
        elif (row := ROW.match(line)) and row["phrase"].strip() and "OCR" not in row["note"]:
            found.append(Promise(CORPUS / folder / row["name"], row["phrase"].strip()))
    return found


def name(path: Path) -> str:
    return path.relative_to(CORPUS).as_posix()


def expected_failure(path: Path) -> str | None:
    return "TYPE_UNSUPPORTED" if path.suffix in PICTURES else REFUSED.get(name(path))


@pytest.fixture(scope="module")
def parser() -> Iterator[ParseProcess]:
    zygote = parser_zygote()
    process = ParseProcess(ParseLimits(), zygote)
    yield process
    process.close()
    zygote.close()


def text_of(parser: ParseProcess, path: Path) -> str:
    with path.open("rb") as file:
        parts = parser.parse(file, path.name, first=1, last=None, stop=threading.Event())
        return "\n\n".join(part.text for part in parts if isinstance(part, Page))


def test_the_readme_was_understood() -> None:
    assert len(promises()) > 130


@pytest.mark.parametrize("path", files(), ids=name)
def test_every_file_is_read_or_fails_with_a_reason(parser: ParseProcess, path: Path) -> None:
    if code := expected_failure(path):
        with pytest.raises(Failure) as caught:
            text_of(parser, path)
        assert caught.value.code == code
    else:
        text_of(parser, path)


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: name(promise.path))
def test_promised_phrase_is_found(parser: ParseProcess, promise: Promise) -> None:
    if expected_failure(promise.path) == "FILE_ENCRYPTED":
        pytest.skip("it asks for a password")
    assert promise.phrase in " ".join(text_of(parser, promise.path).split())


@pytest.mark.parametrize("expected", sorted((CORPUS / "expected/synth").glob("*.txt")), ids=name)
def test_encodings_decode_exactly(parser: ParseProcess, expected: Path) -> None:
    assert text_of(parser, CORPUS / "synth" / expected.name) == expected.read_text(encoding="utf-8")
