"""A client of docmill's API, to block on or to await.

    from docmill.client import Client

    with Client("http://127.0.0.1:8000") as docmill:
        document = docmill.upload("report.pdf", on_progress=print)
        document.wait()
        for hit in docmill.search("who pays for the roof"):
            print(hit["filename"], hit["text"])

Uploads go on after a cut, and a server that is away for a while is waited for. What goes wrong is
one of the types in `client_errors`. Both clients have the calls of `client_calls.py`, their one
source; those of `AsyncClient` are awaited.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

import httpx2

from docmill import client_calls as calls
from docmill.client_calls import Settings
from docmill.client_errors import (
    Conflict,
    DocmillError,
    DocumentFailed,
    Invalid,
    NotAllowed,
    NotFound,
    Refused,
    TooLarge,
    Unreachable,
)
from docmill.client_flows import Answer, Ask, Flow, OnAway, Pause, Read
from docmill.client_memory import FileMemory, UploadMemory
from docmill.client_types import Hit, Status

__all__ = [
    "AsyncClient",
    "AsyncDocument",
    "Client",
    "Conflict",
    "DocmillError",
    "Document",
    "DocumentFailed",
    "FileMemory",
    "Hit",
    "Invalid",
    "NotAllowed",
    "NotFound",
    "Refused",
    "Status",
    "TooLarge",
    "Unreachable",
]

LOCAL = "http://127.0.0.1:8000"
TIMEOUT = httpx2.Timeout(60.0, connect=5.0)
PATIENCE_SECONDS = 300.0

P = ParamSpec("P")
T = TypeVar("T")


# from a flow to a method -----------------------------------------------------------------


class Blocking(Generic[P, T]):
    """A method that does what a flow says, of a client or of one of its documents."""

    def __init__(self, flow: Callable[..., Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    def __get__(self, owner: "Client | Document", _: object = None) -> Callable[P, T]:
        """The method, bound to whose it is."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return owner.run(self._flow(*owner.bound, *args, **kwargs))

        return functools.wraps(self._flow)(call)


class Awaited(Generic[P, T]):
    """The same, to be awaited."""

    def __init__(self, flow: Callable[..., Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    def __get__(
        self, owner: "AsyncClient | AsyncDocument", _: object = None
    ) -> Callable[P, Awaitable[T]]:
        """The method, bound to whose it is."""

        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await owner.run(self._flow(*owner.bound, *args, **kwargs))

        return functools.wraps(self._flow)(call)


ClientFlow = Callable[Concatenate[Settings, P], Flow[T]]
DocumentFlow = Callable[Concatenate[Settings, str, P], Flow[T]]


def blocking(flow: ClientFlow[P, T]) -> Blocking[P, T]:
    """A method of `Client`."""
    return Blocking(flow)


def blocking_upload(flow: ClientFlow[P, str]) -> "Blocking[P, Document]":
    """A method of `Client` that gives the document whose id the flow returns."""
    return Blocking(_with_document(flow))


def blocking_of_document(flow: DocumentFlow[P, T]) -> Blocking[P, T]:
    """A method of `Document`."""
    return Blocking(flow)


def awaited(flow: ClientFlow[P, T]) -> Awaited[P, T]:
    """A method of `AsyncClient`."""
    return Awaited(flow)


def awaited_upload(flow: ClientFlow[P, str]) -> "Awaited[P, AsyncDocument]":
    """A method of `AsyncClient` that gives the document whose id the flow returns."""
    return Awaited(_with_document(flow))


def awaited_of_document(flow: DocumentFlow[P, T]) -> Awaited[P, T]:
    """A method of `AsyncDocument`."""
    return Awaited(flow)


def _with_document(flow: Callable[..., Flow[str]]) -> Callable[..., Flow[Any]]:
    @functools.wraps(flow)
    def with_document(settings: Settings, *args: object, **kwargs: object) -> Flow[Any]:
        document_id = yield from flow(settings, *args, **kwargs)
        return settings.make_document(document_id)

    return with_document


# to block on -----------------------------------------------------------------------------


class Client:
    """Calls to one docmill, each of which blocks until it is answered. Any thread may call.

    `patience_seconds` is how long a server that is away is waited for. A `memory`, such as
    `FileMemory`, lets another program go on with an upload that this one did not finish.
    """

    def __init__(
        self,
        base_url: str = LOCAL,
        api_key: str | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        memory: UploadMemory | None = None,
        on_away: OnAway | None = None,
    ) -> None:
        settings = Settings(base_url, api_key, patience_seconds, memory, on_away)
        settings.make_document = self.document
        self.bound = (settings,)
        self._http = httpx2.Client(
            base_url=settings.base_url, headers=settings.headers, timeout=TIMEOUT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    upload = blocking_upload(calls.upload)
    documents = blocking(calls.documents)
    search = blocking(calls.search)

    def document(self, document_id: str) -> "Document":
        """A document by its id; nothing is asked yet."""
        return Document(self, document_id)

    def run(self, flow: Flow[T]) -> T:
        """Do what a flow says, step by step."""
        given: object = None
        trouble: Unreachable | None = None
        while True:
            try:
                step = flow.throw(trouble) if trouble else flow.send(given)
            except StopIteration as end:
                return cast("T", end.value)
            given, trouble = None, None
            try:
                given = self._do(step)
            except Unreachable as error:
                trouble = error

    def _do(self, step: Ask | Pause | Read) -> object:
        match step:
            case Ask():
                return self._ask(step)
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Read():
                return _read(step)

    def _ask(self, request: Ask) -> Answer:
        try:
            answer = self._http.request(**_as_arguments(request))
        except httpx2.TransportError as error:
            raise _unreachable(self.bound[0], error) from error
        return Answer(answer.status_code, answer.headers, answer.content)


class Document:
    """A document at the server, by its id. It holds no state: every call asks."""

    def __init__(self, client: Client, document_id: str) -> None:
        self.id = document_id
        self.bound = (*client.bound, document_id)
        self.run = client.run

    def __repr__(self) -> str:
        return f"Document({self.id!r})"

    wait = blocking_of_document(calls.wait)
    status = blocking_of_document(calls.status)
    details = blocking_of_document(calls.details)
    retry = blocking_of_document(calls.retry)
    cancel = blocking_of_document(calls.cancel)
    reprocess = blocking_of_document(calls.reprocess)
    delete = blocking_of_document(calls.delete)
    content = blocking_of_document(calls.content)
    pages = blocking_of_document(calls.pages)
    chunks = blocking_of_document(calls.chunks)
    jobs = blocking_of_document(calls.jobs)


# to await --------------------------------------------------------------------------------


class AsyncClient:
    """`Client`, with calls that are awaited. Files are read beside the event loop."""

    def __init__(
        self,
        base_url: str = LOCAL,
        api_key: str | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        memory: UploadMemory | None = None,
        on_away: OnAway | None = None,
    ) -> None:
        settings = Settings(base_url, api_key, patience_seconds, memory, on_away)
        settings.make_document = self.document
        self.bound = (settings,)
        self._http = httpx2.AsyncClient(
            base_url=settings.base_url, headers=settings.headers, timeout=TIMEOUT
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    upload = awaited_upload(calls.upload)
    documents = awaited(calls.documents)
    search = awaited(calls.search)

    def document(self, document_id: str) -> "AsyncDocument":
        """A document by its id; nothing is asked yet."""
        return AsyncDocument(self, document_id)

    async def run(self, flow: Flow[T]) -> T:
        """Do what a flow says, step by step."""
        given: object = None
        trouble: Unreachable | None = None
        while True:
            try:
                step = flow.throw(trouble) if trouble else flow.send(given)
            except StopIteration as end:
                return cast("T", end.value)
            given, trouble = None, None
            try:
                given = await self._do(step)
            except Unreachable as error:
                trouble = error

    async def _do(self, step: Ask | Pause | Read) -> object:
        match step:
            case Ask():
                return await self._ask(step)
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Read():
                return await asyncio.to_thread(_read, step)

    async def _ask(self, request: Ask) -> Answer:
        try:
            answer = await self._http.request(**_as_arguments(request))
        except httpx2.TransportError as error:
            raise _unreachable(self.bound[0], error) from error
        return Answer(answer.status_code, answer.headers, answer.content)


class AsyncDocument:
    """`Document`, with calls that are awaited."""

    def __init__(self, client: AsyncClient, document_id: str) -> None:
        self.id = document_id
        self.bound = (*client.bound, document_id)
        self.run = client.run

    def __repr__(self) -> str:
        return f"AsyncDocument({self.id!r})"

    wait = awaited_of_document(calls.wait)
    status = awaited_of_document(calls.status)
    details = awaited_of_document(calls.details)
    retry = awaited_of_document(calls.retry)
    cancel = awaited_of_document(calls.cancel)
    reprocess = awaited_of_document(calls.reprocess)
    delete = awaited_of_document(calls.delete)
    content = awaited_of_document(calls.content)
    pages = awaited_of_document(calls.pages)
    chunks = awaited_of_document(calls.chunks)
    jobs = awaited_of_document(calls.jobs)


# what both do alike ----------------------------------------------------------------------


def _read(step: Read) -> bytes:
    step.file.seek(step.offset)
    return step.file.read(step.size)


def _as_arguments(request: Ask) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.path,
        "headers": dict(request.headers),
        "content": request.content,
        "params": dict(request.params) or None,
    }


def _unreachable(settings: Settings, error: httpx2.TransportError) -> Unreachable:
    return Unreachable(
        f"Nothing answers at {settings.base_url} ({str(error) or type(error).__name__}). Is"
        " `docmill serve` running there?"
    )
