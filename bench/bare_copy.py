"""The limit with a database: the bare loop, and COPY of its rows into docmill's own tables.

The same indexes, foreign keys and checks as docmill has; everything else is left out: no queue, no
states, no status that grows, one transaction for many documents, and nothing of it could go on
after a crash.
"""

import hashlib
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.synchronize import Event, Semaphore
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from bare_loop import Loop, Read
from psycopg import Cursor
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo

import postgres
from docmill.database import Sync
from docmill.embed_static import NAME
from docmill.tsvectors import tsvector

OWNER = UUID(int=1)
CHUNKS_PER_COMMIT = 512

FILES = "copy files (id, owner_id, sha256, size) from stdin (format binary)"
PARTS = "copy file_parts (owner_id, file_id, position, data) from stdin (format binary)"
DOCUMENTS = (
    "copy documents (id, owner_id, file_id, external_id, filename, status, serving, served_file_id,"
    " served_filename, pages_done, pages_total, chunks_done, chunks_total, embedded_done,"
    " started_at, completed_at) from stdin"
)
PAGES = "copy pages (owner_id, document_id, generation, number, text) from stdin"
CHUNKS = (
    "copy chunks (owner_id, document_id, generation, ordinal, text, page_first, page_last,"
    " char_start, char_end, words) from stdin (format binary)"
)
CHUNK_TYPES = ["uuid", "uuid", *["int4"] * 2, "text", *["int4"] * 2, *["int8"] * 2, "tsvector"]
EMBEDDINGS = (
    "copy embeddings (owner_id, document_id, generation, ordinal, model_id, embedding, indexed)"
    " from stdin (format binary)"
)

Made = list[tuple[UUID, UUID, str, Read]]  # document, file, name


class Vector:
    """A vector as pgvector takes it in binary."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self.numbers = numbers


def dumper_of(oid: int) -> type[Dumper]:
    """What turns a `Vector` into bytes, in a database where the type has this id."""

    class VectorDumper(Dumper):
        format = Format.BINARY

        def dump(self, vector: Vector) -> bytes:
            numbers = vector.numbers.astype(">f4")
            return len(numbers).to_bytes(2) + b"\0\0" + numbers.tobytes()

    VectorDumper.oid = oid
    return VectorDumper


class Tables:
    """Rows on their way into docmill's tables; `indexed`: the vectors into their index, too."""

    def __init__(self, connection: Sync, owner: UUID = OWNER, *, indexed: bool = True) -> None:
        self._connection = connection
        self._owner = owner
        self._indexed = indexed
        info = TypeInfo.fetch(connection, "vector")
        assert info is not None
        connection.adapters.register_dumper(Vector, dumper_of(info.oid))
        self._types = {"vector": info.oid}
        row = connection.execute(
            "select id from embedding_models where name = %s", [NAME]
        ).fetchone()
        assert row is not None
        self._model = row["id"]

    def keep_files(self, files: Sequence[tuple[UUID, bytes]]) -> None:
        """The bytes, each file once, in parts of a mebibyte."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            with cursor.copy(FILES) as copy:
                copy.set_types(["uuid", "uuid", "bytea", "int8"])
                for file_id, content in files:
                    digest = hashlib.sha256(content).digest()
                    copy.write_row((file_id, self._owner, digest, len(content)))
            with cursor.copy(PARTS) as copy:
                copy.set_types(["uuid", "uuid", "int8", "bytea"])
                for file_id, content in files:
                    for at in range(0, len(content), 1 << 20):
                        copy.write_row((self._owner, file_id, at, content[at : at + (1 << 20)]))

    def keep(self, made: Made) -> None:
        """Documents with all that was found in them, in one transaction."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            with cursor.copy(DOCUMENTS) as copy:
                for row in document_rows(self._owner, made):
                    copy.write_row(row)
            with cursor.copy(PAGES) as copy:
                for document, _, _, read in made:
                    for number, text in enumerate(read.pages, start=1):
                        copy.write_row((self._owner, document, 1, number, storable(text)))
            with cursor.copy(CHUNKS) as copy:
                copy.set_types(CHUNK_TYPES)
                for row in chunk_rows(self._owner, made):
                    copy.write_row(row)
            self._keep_vectors(cursor, made)

    def _keep_vectors(self, cursor: Cursor, made: Made) -> None:
        with cursor.copy(EMBEDDINGS) as copy:
            copy.set_types(["uuid", "uuid", "int4", "int4", "int4", self._types["vector"], "bool"])
            for document, _, _, read in made:
                for ordinal, numbers in enumerate(read.vectors if read.chunks else ()):
                    if numbers.any():
                        place = (self._owner, document, 1, ordinal)
                        copy.write_row((*place, self._model, Vector(numbers), self._indexed))


def document_rows(owner: UUID, made: Made) -> Iterator[tuple[object, ...]]:
    """A row per document as it is in the end, by a name of its own: its bytes may come again."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for document, file_id, name, read in made:
        pages, chunks = len(read.pages), len(read.chunks)
        counts = (pages, pages, chunks, chunks, chunks)
        yield (
            document,
            owner,
            file_id,
            str(document),
            name,
            "completed",
            1,
            file_id,
            name,
            *counts,
            now,
            now,
        )


def chunk_rows(owner: UUID, made: Made) -> Iterator[tuple[object, ...]]:
    """A row per passage, with its words: docmill's own, for there is no search without them."""
    for document, _, _, read in made:
        for ordinal, (page, offset, text) in enumerate(read.chunks):
            place = (page, page, offset, offset + len(text))
            yield (owner, document, 1, ordinal, storable(text), *place, tsvector(storable(text)))


def storable(text: str) -> str:
    """What PostgreSQL's text takes."""
    return text.replace("\0", "").encode(errors="replace").decode()


class Gates(NamedTuple):
    """What the processes share: files to read, how many are ready, and whether to begin."""

    waiting: "multiprocessing.Queue"
    ready: Semaphore
    go: Event


def copied(
    url: str,
    files: Sequence[Path],
    warm: Sequence[Path],
    repeat: int,
    processes: int,
    *,
    indexed: bool,
) -> float:
    """Seconds from the first byte to the last commit; each process has kept `warm` before.

    With `repeat` each file is so many documents, and its bytes are kept once, as docmill does it.
    `indexed`: each vector goes into the index of vectors as it comes.
    """
    context = multiprocessing.get_context("spawn")
    gates = Gates(context.Queue(), context.Semaphore(0), context.Event())
    with postgres.bare_connection(url) as connection:
        warm_ids = {path: uuid4() for path in warm}
        Tables(connection).keep_files([(i, path.read_bytes()) for path, i in warm_ids.items()])
    children = [
        context.Process(target=work, args=(url, warm_ids, gates, indexed)) for _ in range(processes)
    ]
    for child in children:
        child.start()
    for _ in children:
        gates.ready.acquire()
    with postgres.bare_connection(url) as connection:
        tables = Tables(connection)
        ids = {path: uuid4() for path in files}
        begun = time.perf_counter()
        contents = {path.read_bytes(): file_id for path, file_id in ids.items()}
        tables.keep_files([(file_id, content) for content, file_id in contents.items()])
        ids = {path: contents[path.read_bytes()] for path in files}
    for _ in range(repeat):
        for path in files:
            gates.waiting.put((path, ids[path]))
    for _ in children:
        gates.waiting.put(None)
    gates.go.set()
    for child in children:
        child.join()
        assert child.exitcode == 0
    return time.perf_counter() - begun


def work(
    url: str,
    warm: Mapping[Path, UUID],
    gates: Gates,
    indexed: bool,
) -> None:
    """One process: read what comes, and keep it by the hundreds of passages."""
    loop, made, passages = Loop(), [], 0
    with postgres.bare_connection(url) as connection:
        tables = Tables(connection, indexed=indexed)
        tables.keep([(uuid4(), file, path.name, loop.read(path)) for path, file in warm.items()])
        gates.ready.release()
        gates.go.wait()
        while (item := gates.waiting.get()) is not None:
            path, file_id = item
            read = loop.read(path)
            made.append((uuid4(), file_id, path.name, read))
            passages += len(read.chunks)
            if passages >= CHUNKS_PER_COMMIT:
                tables.keep(made)
                made, passages = [], 0
        tables.keep(made)
