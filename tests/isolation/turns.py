"""Sessions that run docmill's own code and stop before each statement until it is their turn.

A turn ends at the session's next point (a statement or a commit), at its end, or at a lock that
another session holds. The first two are told by the session, the third by PostgreSQL. No clock
decides anything.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from docmill.database import STATEMENT_NAME, ApiDatabase, Async, Row, Sync, WorkerDatabase, every
from docmill.failpoint import ApiCommit, WorkerCommit

COMMIT = "commit"
# What has no point of its own and goes on with what stands before it, because no other session can
# tell: it touches rows that only the holder of the job's lock touches or that nobody else sees yet,
# or it comes when the document's row is held, or it is a first look, or it is half of one step.
QUIET = frozenset({
    "find_document", "claim_jobs", "end_attempt", "list_unfinished", "complete_documents",
    "drop_other_pages", "drop_other_chunks", "enqueue_jobs", "enqueue_taken_jobs", "wake_workers",
    "begin_file", "keep_alive", "keep_part", "add_first_job", "announce_ends", "hold_webhooks",
    "reap_deliveries", "change_webhook", "forget_failures", "look_for_waiting",
})  # fmt: skip
# One step however often it is repeated: after the first time the row is held.
REPEATED = "advance_documents"

T = TypeVar("T")


def _names() -> dict[bytes, str]:
    """The name of each statement of docmill."""
    texts = [file.read_text() for file in files("docmill").iterdir() if file.name.endswith(".sql")]
    pieces = [STATEMENT_NAME.split(text)[1:] for text in texts]
    return {
        body.strip().encode(): name
        for split in pieces
        for name, body in zip(split[::2], split[1::2], strict=True)
    }


NAMES = _names()


class Session:
    """One who takes part: a thread of its own, which goes on when it is given the turn."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.label = ""  # what it does next
        self.backend = 0  # the server process that it talks to
        self.errors: list[psycopg.Error] = []
        self._turn = threading.Event()
        self._rests = threading.Event()
        self._is_free = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._runner: asyncio.Runner | None = None
        self._work: Future[object] | None = None

    def begin(self, operation: Callable[[], object]) -> None:
        """Start an operation and come to its first point, where nothing has been done yet."""
        self.errors, self.label, self._is_free = [], "", False
        self._turn.clear()
        self._rests.clear()
        self._work = self._thread.submit(self._run, operation)
        self._work.add_done_callback(lambda _: self._rests.set())
        self._rests.wait()

    def go(self) -> None:
        """Give it the turn."""
        self._rests.clear()
        self._turn.set()

    def free(self) -> None:
        """Let it run to its end without turns."""
        self._is_free = True
        self.go()

    def rests(self, seconds: float = 0.0) -> bool:
        """Whether it is at a point or at its end, at the latest in so many seconds."""
        return self._rests.wait(seconds)

    @property
    def ended(self) -> bool:
        return self._work is not None and self._work.done()

    @property
    def raised(self) -> BaseException | None:
        """What the operation raised, once it has ended."""
        return self._work.exception() if self._work else None

    def call(self, function: Callable[[], T]) -> T:
        """Run something in the session's thread, without turns."""
        return self._thread.submit(function).result()

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, in the session's thread and its one event loop."""
        self._runner = self._runner or asyncio.Runner()
        return self._runner.run(coroutine)

    def arrive(self, label: str) -> None:
        """Come to a point, and wait for the turn."""
        self.label = label
        if not self._is_free:
            self._rests.set()
            self._turn.wait()
            self._turn.clear()

    def close(self) -> None:
        """End the thread."""
        if self._runner is not None:
            self.call(self._runner.close)
        self._thread.shutdown()

    def _run(self, operation: Callable[[], object]) -> object:
        _here.session = self
        try:
            return operation()
        finally:
            _here.session = None


class _Here(threading.local):
    session: Session | None = None


_here = _Here()


def _arrive(connection: Sync | Async, label: str) -> None:
    """Come to a point, if this thread is a session's and others can tell what it does next."""
    session = _here.session
    if session is None or label in QUIET or label == session.label == REPEATED:
        return
    session.backend = connection.info.backend_pid
    session.arrive(label)


@contextmanager
def _errors_told() -> Iterator[None]:
    """docmill may try again after an error; that there was one is kept."""
    try:
        yield
    except psycopg.Error as error:
        if _here.session is not None:
            _here.session.errors.append(error)
        raise


class TurnCursor(psycopg.Cursor[Row]):
    """A cursor that waits for the session's turn before each statement."""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> "TurnCursor":
        _arrive(self.connection, NAMES.get(query, "?"))
        with _errors_told():
            return super().execute(query, *args, **kwargs)


class AsyncTurnCursor(psycopg.AsyncCursor[Row]):
    """As above, for the API. Its event loop waits too: the thread has nothing else to do."""

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> "AsyncTurnCursor":
        _arrive(self.connection, NAMES.get(query, "?"))
        with _errors_told():
            return await super().execute(query, *args, **kwargs)


class TurnWorkerDatabase(WorkerDatabase):
    """The workers' database, with points in what commits. What only reads has none."""

    @contextmanager
    def commit(self, name: WorkerCommit) -> Iterator[Sync]:
        with super().commit(name) as connection:
            connection.cursor_factory = TurnCursor
            try:
                yield connection
            finally:
                connection.cursor_factory = psycopg.Cursor
            _arrive(connection, COMMIT)


class TurnApiDatabase(ApiDatabase):
    """The API's database, with points in what commits."""

    @asynccontextmanager
    async def commit(self, owner: UUID, name: ApiCommit) -> AsyncIterator[Async]:
        async with super().commit(owner, name) as connection:
            connection.cursor_factory = AsyncTurnCursor
            try:
                yield connection
            finally:
                connection.cursor_factory = psycopg.AsyncCursor
            _arrive(connection, COMMIT)

    async def committed(
        self, name: ApiCommit, statement: bytes, parameters: Mapping[str, Any]
    ) -> list[Row]:
        """With the statement and its commit apart, which others may come between here alone."""
        async with self.commit(parameters["asking"], name) as connection:
            return await every(connection, statement, parameters)
