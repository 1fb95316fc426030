"""Chroma: the bare loop in two processes, whose passages and vectors one process adds to a folder.

One process, because a folder of Chroma's has one writer. Added passages survive a crash.
"""

import json
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

import chromadb
import two_processes
from bare_loop import Loop, Read

PASSAGES_PER_ADD = 1000

loop: Loop


def load(warm: Sequence[Path], ready: object) -> None:
    """Load the libraries, once per process, and use them."""
    global loop  # noqa: PLW0603 - a process of a pool has no other place
    loop = Loop()
    for path in warm:
        loop.read(path)
    ready.release()


def read(path: Path) -> Read:
    """A file's passages and vectors."""
    return loop.read(path)


def main() -> None:
    """Print in what time all files were added."""
    wanted = two_processes.options()
    paths = [Path(name) for name in wanted["files"]] * wanted["repeat"]
    client = chromadb.PersistentClient(
        wanted["folder"], settings=chromadb.Settings(anonymized_telemetry=False)
    )
    collection = client.create_collection(
        "bench", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    context = multiprocessing.get_context("spawn")
    ready = context.Semaphore(0)
    processes = two_processes.PROCESSES
    warm = [Path(name) for name in wanted["warm"]]
    with context.Pool(processes, initializer=load, initargs=(warm, ready)) as pool:
        for _ in range(processes):
            ready.acquire()
        begun = time.perf_counter()
        texts: list[str] = []
        vectors: list[list[float]] = []
        added = 0
        for made in pool.imap_unordered(read, paths):
            if made.vectors is not None:
                texts += [text for _, _, text in made.chunks]
                vectors += list(made.vectors)
            if len(texts) >= PASSAGES_PER_ADD:
                added = add(collection, added, texts, vectors)
        added = add(collection, added, texts, vectors)
        seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "passages": added}))


def add(collection: chromadb.Collection, added: int, texts: list[str], vectors: list) -> int:
    """Add what has come, and forget it; how many were added by now."""
    if texts:
        ids = [str(number) for number in range(added, added + len(texts))]
        collection.add(ids=ids, documents=texts, embeddings=vectors)
        added += len(texts)
        texts.clear()
        vectors.clear()
    return added


if __name__ == "__main__":
    main()
