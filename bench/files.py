"""The files that are uploaded: a folder of real documents, or made ones where there is none."""

import io
import os
import random
from pathlib import Path

import pypdfium2

HERE = Path(__file__).parent
CORPUS = Path(os.environ.get("DOCMILL_CORPUS", HERE.parent.parent / "shared" / "corpus"))
SAMPLE = HERE.parent / "src" / "docmill" / "sample" / "how-docmill-works.pdf"
# What is beside the documents in that folder, and says something of them.
NO_DOCUMENTS = {"expected", "licences"}
SUFFIXES = frozenset(
    [
        ".pdf",
        ".txt",
        ".md",
        ".csv",
        ".docx",
        ".pptx",
        ".xlsx",
        ".xlsm",
        ".doc",
        ".ppt",
        ".xls",
        ".odt",
        ".ods",
        ".html",
        ".htm",
        ".epub",
        ".rtf",
        ".eml",
        ".msg",
        ".ipynb",
        ".json",
    ]
)
WORDS = [
    "ferry",
    "lantern",
    "orchard",
    "kettle",
    "marten",
    "keel",
    "river",
    "mill",
    "bread",
    "stone",
    "window",
    "letter",
    "harbour",
    "winter",
    "ladder",
    "garden",
    "copper",
    "engine",
    "barley",
    "bridge",
    "candle",
    "meadow",
    "pencil",
    "saddle",
    "timber",
    "violet",
    "walnut",
    "anchor",
    "basket",
    "cellar",
    "drawer",
    "feather",
    "granite",
    "hammer",
    "island",
    "jacket",
    "linen",
    "mirror",
    "needle",
    "oven",
]


def corpus(folder: Path) -> list[Path]:
    """Documents of all kinds, the largest first, so that none is still on its way at the end.

    Each has bytes of its own: docmill answers known ones with the document that they are.
    DOCMILL_CORPUS names their folder. Without it, made texts and PDFs are written to `folder`.
    """
    if not CORPUS.is_dir():
        return made(folder)
    found = {
        path.read_bytes(): path
        for path in sorted(CORPUS.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.stat().st_size
        and path != CORPUS / "README.md"
        and not NO_DOCUMENTS & set(path.relative_to(CORPUS).parts)
    }
    return sorted(found.values(), key=lambda path: -path.stat().st_size)


def made(folder: Path) -> list[Path]:
    """Documents for where there are no real ones."""
    pdfs = [folder / f"made-{number}.pdf" for number in range(1, 21)]
    for number, path in enumerate(pdfs, start=1):
        path.write_bytes(long_pdf(5 * number, path.name))
    return [*reversed(pdfs), *small_texts(folder, 100)]


def small_texts(folder: Path, count: int) -> list[Path]:
    """Texts of one passage or two, all different."""
    return texts(folder, count, words=150)


def warm_ups(folder: Path) -> list[Path]:
    """Texts and short PDFs, for what is done only the first time: all of it before the clock."""
    paths = texts(folder, 16, words=140)
    for number in range(16):
        paths.append(folder / f"warm-{number:02}.pdf")
        paths[-1].write_bytes(long_pdf(3, f"warm {number}"))
    return paths


def texts(folder: Path, count: int, words: int) -> list[Path]:
    """Texts of so many words, all different."""
    paths = [folder / f"text-{words}-{number:05}.txt" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text(text(number, words), encoding="utf-8")
    return paths


def text(seed: int, words: int) -> str:
    """Sentences of common words; the seed decides which."""
    chance = random.Random(seed)
    sentences = []
    while words > 0:
        length = min(words, chance.randint(6, 14))
        sentences.append(" ".join(chance.choices(WORDS, k=length)).capitalize() + ".")
        words -= length
    return f"Text {seed}. " + " ".join(sentences)


def long_pdf(pages: int, title: str) -> bytes:
    """The sample's pages again and again; the title keeps the bytes of two rounds apart."""
    source, long = pypdfium2.PdfDocument(SAMPLE), pypdfium2.PdfDocument.new()
    long.import_pages(source, [number % len(source) for number in range(pages)])
    kept = io.BytesIO()
    long.save(kept)
    return kept.getvalue() + f"\n% {title}\n".encode()


def pages_of(path: Path) -> int:
    """How many pages a file counts for: those of a PDF, one of everything else."""
    if path.suffix.lower() != ".pdf":
        return 1
    try:
        return len(pypdfium2.PdfDocument(path))
    except pypdfium2.PdfiumError:
        return 0
