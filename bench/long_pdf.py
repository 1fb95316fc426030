"""A PDF of thousands of pages against its limit: the same stages in a bare loop.

    python bench/long_pdf.py [--pages N] [--rounds N] [--workers N]

The loop reads, cuts and embeds with docmill's own functions in one process, with no HTTP, no
database, no child process and no queue. The ratio is what the durable path costs; below 1 it is
what several workers win. Prints the peak memory of docmill's process tree as well.
"""

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path

import httpx2
import pypdfium2  # type: ignore[import-untyped]
from served import PeakMemory, served

from docmill.chunk import ChunkSizing, ChunkState, chunk_window, windows
from docmill.embed_static import StaticEmbedder
from docmill.model import Page
from docmill.parse_pdf import parse_pdf

SAMPLE = Path(__file__).parent.parent / "src" / "docmill" / "sample" / "how-docmill-works.pdf"
BATCH = 64


def long_pdf(pages: int, title: str) -> bytes:
    """The sample's pages again and again; the title keeps the bytes of two rounds apart."""
    source, long = pypdfium2.PdfDocument(SAMPLE), pypdfium2.PdfDocument.new()
    long.import_pages(source, [number % len(source) for number in range(pages)])
    kept = io.BytesIO()
    long.save(kept)
    return kept.getvalue() + f"\n% {title}\n".encode()


def bare(path: Path, embedder: StaticEmbedder) -> float:
    """Seconds that the loop takes."""
    begun = time.perf_counter()
    pages = [found for found in parse_pdf(path, 1, None) if isinstance(found, Page)]
    state = ChunkState()
    for window in windows(pages):
        chunks, state = chunk_window(window, state, ChunkSizing())
        texts = [chunk.text for chunk in chunks]
        for first in range(0, len(texts), BATCH):
            embedder.embed(texts[first : first + BATCH])
    return time.perf_counter() - begun


def completed(http: httpx2.Client, content: bytes) -> float:
    """Seconds from the first byte of the upload to the committed end."""
    begun = time.perf_counter()
    answer = http.post("/documents", files={"file": ("long.pdf", content)})
    answer.raise_for_status()
    url, tag = f"/documents/{answer.json()['document_id']}", ""
    while True:
        status = http.get(f"{url}/status", headers={"prefer": "wait=20", "if-none-match": tag})
        tag = status.headers["etag"]
        if status.status_code == httpx2.codes.OK and status.json()["done"]:
            break
    took = time.perf_counter() - begun
    assert status.json()["status"] == "completed", status.text
    http.delete(url).raise_for_status()
    return took


def main() -> None:
    """Print seconds of both sides per round, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    ratios, embedder = [], StaticEmbedder()
    with (
        tempfile.TemporaryDirectory(prefix="docmill-bench-") as folder,
        served(Path(folder) / "data", "--workers", str(chosen.workers)) as (address, pid),
        httpx2.Client(base_url=address, timeout=600) as http,
        PeakMemory(pid) as memory,
    ):
        for number in range(chosen.rounds):
            content = long_pdf(chosen.pages, f"round {number}")
            path = Path(folder) / "long.pdf"
            path.write_bytes(content)
            limit, took = bare(path, embedder), completed(http, content)
            ratios.append(took / limit)
            print(f"{chosen.pages} pages: bare {limit:.2f} s, docmill {took:.2f} s", flush=True)
    print(f"long PDF: {statistics.median(ratios):.2f} times the bare loop (median)")
    print(f"memory of the process tree: {memory}")


if __name__ == "__main__":
    main()
