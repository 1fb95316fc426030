"""The limit: read, cut and embed in a bare loop, by the libraries that docmill uses itself.

    python bench/bare_loop.py FILE…

No HTTP, no queue, no database, no child per document, no limits, and none of docmill's code: what
docmill does around these libraries is not to be measured against itself. Rivals plug the same
functions into their pipelines.
"""

import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # must be said before the import

import charset_normalizer
import kreuzberg
import numpy as np
import pypdfium2
from numpy.typing import NDArray
from safetensors.numpy import load_file
from semantic_text_splitter import MarkdownSplitter
from tokenizers import Tokenizer

CHARACTERS = 1000
TEXTS = {".txt", ".md", ".csv"}
OFFICE = kreuzberg.ExtractionConfig(
    use_cache=False,
    disable_ocr=True,
    enable_quality_processing=False,
    output_format="markdown",
    concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
)


@dataclass(slots=True)
class Read:
    """What became of a document. Chunks are the page's number, the place in it, and the text."""

    pages: list[str] = field(default_factory=list)
    chunks: list[tuple[int, int, str]] = field(default_factory=list)
    vectors: NDArray[np.float32] | None = None


def pages(path: Path) -> Iterator[str]:
    """The text of each page; a file that is no PDF is one."""
    suffix = path.suffix.lower()
    if suffix == ".pdf":
        yield from pdf_pages(path)
    elif suffix in TEXTS:
        yield decoded(path.read_bytes())
    else:
        yield kreuzberg.extract_file_sync(str(path), config=OFFICE).content


def pdf_pages(path: Path) -> Iterator[str]:
    """The pages of a PDF."""
    document = pypdfium2.PdfDocument(path)
    try:
        for number in range(len(document)):
            page = document[number]
            text_page = page.get_textpage()
            yield text_page.get_text_bounded().replace("\r\n", "\n")
            text_page.close()
            page.close()
    finally:
        document.close()


def decoded(content: bytes) -> str:
    """A text file's text: UTF-8, or what it most likely is."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        best = charset_normalizer.from_bytes(content).best()
        return str(best) if best else content.decode("latin-1")


class Embedder:
    """The mean of the vectors of a text's tokens, at length 1."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("wordllama")
        assert found is not None
        assert found.origin is not None
        wheel = Path(found.origin).parent
        weights = load_file(wheel / "weights" / "l2_supercat_256.safetensors")
        self._vectors = weights["embedding.weight"].astype(np.float32)
        self._tokenizer = Tokenizer.from_file(
            str(wheel / "tokenizers" / "l2_supercat_tokenizer_config.json")
        )
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A row per text."""
        rows = np.zeros((len(texts), self._vectors.shape[1]), np.float32)
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        for row, encoding in zip(rows, encodings, strict=True):
            if encoding.ids:
                mean = self._vectors[encoding.ids].mean(axis=0)
                row[:] = mean / (np.linalg.norm(mean) + 1e-9)
        return rows


class Loop:
    """The libraries, loaded and warm."""

    def __init__(self) -> None:
        self.splitter = MarkdownSplitter(CHARACTERS)
        self.embed = Embedder()
        self.embed(["warm"])

    def read(self, path: Path) -> Read:
        """A document's pages, chunks and vectors; what can't be read has none."""
        made = Read()
        try:
            for number, text in enumerate(pages(path), start=1):
                made.pages.append(text)
                for offset, chunk in self.splitter.chunk_indices(text):
                    if chunk.strip():
                        made.chunks.append((number, offset, chunk))
        except (pypdfium2.PdfiumError, kreuzberg.KreuzbergError):
            return Read()
        made.vectors = self.embed([chunk for _, _, chunk in made.chunks])
        return made


def main() -> None:
    """Read the files and say in what time."""
    loop = Loop()
    begun = time.perf_counter()
    read = [loop.read(Path(name)) for name in sys.argv[1:]]
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - begun,
                "pages": sum(len(one.pages) for one in read),
                "chunks": sum(len(one.chunks) for one in read),
            }
        )
    )


if __name__ == "__main__":
    main()
