"""LlamaIndex: an IngestionPipeline with the same parsers, splitter and embedder plugged in.

What it makes stays in memory: a crash leaves nothing of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import two_processes
from bare_loop import Loop, pages
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import NodeParser
from llama_index.core.schema import BaseNode, Document, TextNode

FILES_PER_RUN = 16
LOOP = Loop()


class Splitter(NodeParser):
    """The splitter that docmill uses, as a node parser."""

    def _parse_nodes(self, nodes: Sequence[BaseNode], **_: Any) -> list[BaseNode]:
        return [
            TextNode(text=chunk, metadata=node.metadata)
            for node in nodes
            for _, chunk in LOOP.splitter.chunk_indices(node.get_content())
            if chunk.strip()
        ]


class Embedder(BaseEmbedding):
    """The embedder that docmill uses."""

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embeddings([query])[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return LOOP.embed(texts).tolist()


def make() -> two_processes.Act:
    """A pipeline without a cache: every file is new."""
    pipeline = IngestionPipeline(
        transformations=[Splitter(), Embedder(embed_batch_size=64)], disable_cache=True
    )

    def act(paths: Sequence[Path]) -> int:
        kept = []
        for at in range(0, len(paths), FILES_PER_RUN):
            kept += pipeline.run(documents=documents(paths[at : at + FILES_PER_RUN]))
        return len(kept)

    return act


def documents(paths: Sequence[Path]) -> list[Document]:
    """A document per page, as LlamaIndex' own readers give them."""
    found = []
    for path in paths:
        try:
            texts = list(pages(path))
        except Exception:  # noqa: BLE001 - some files can't be read, by nobody here
            continue
        for number, text in enumerate(texts, start=1):
            found.append(Document(text=text, metadata={"file": path.name, "page": number}))
    return found


if __name__ == "__main__":
    two_processes.run(make)
