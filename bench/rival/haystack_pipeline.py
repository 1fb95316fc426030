"""Haystack: a pipeline with the same parsers, splitter and embedder plugged in.

It writes to Haystack's own in-memory store: a crash leaves nothing of it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import two_processes
from bare_loop import Loop, pages
from haystack import Document, Pipeline, component
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy

FILES_PER_RUN = 16
LOOP = Loop()


@component
class Reader:
    """Files to a document per page."""

    @component.output_types(documents=list[Document])
    def run(self, paths: list[Path]) -> dict[str, list[Document]]:
        """What can be read of the files."""
        found = []
        for path in paths:
            try:
                texts = list(pages(path))
            except Exception:  # noqa: BLE001 - some files can't be read, by nobody here
                continue
            for number, text in enumerate(texts, start=1):
                found.append(Document(content=text, meta={"file": path.name, "page": number}))
        return {"documents": found}


@component
class Splitter:
    """The splitter that docmill uses."""

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Passages of the documents."""
        return {
            "documents": [
                Document(content=chunk, meta={**document.meta, "offset": offset})
                for document in documents
                for offset, chunk in LOOP.splitter.chunk_indices(document.content or "")
                if chunk.strip()
            ]
        }


@component
class Embedder:
    """The embedder that docmill uses."""

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """The passages with their vectors."""
        vectors = LOOP.embed([document.content or "" for document in documents]).tolist()
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(one, embedding=vector) for one, vector in pairs]}


def make() -> two_processes.Act:
    """A pipeline with a store of its own."""
    store = InMemoryDocumentStore()
    pipeline = Pipeline()
    pipeline.add_component("reader", Reader())
    pipeline.add_component("splitter", Splitter())
    pipeline.add_component("embedder", Embedder())
    # A document's id is the hash of its content: the same file, another time, is written over.
    pipeline.add_component("writer", DocumentWriter(store, DuplicatePolicy.OVERWRITE))
    pipeline.connect("reader", "splitter")
    pipeline.connect("splitter", "embedder")
    pipeline.connect("embedder", "writer")

    def act(paths: Sequence[Path]) -> int:
        for at in range(0, len(paths), FILES_PER_RUN):
            pipeline.run({"reader": {"paths": list(paths[at : at + FILES_PER_RUN])}})
        return store.count_documents()

    return act


if __name__ == "__main__":
    two_processes.run(make)
