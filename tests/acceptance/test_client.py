"""The Python client, blocking and awaited: one source, so each promise is tested on both."""

import asyncio
import inspect
import io
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from cutting_proxy import CuttingProxy
from docmill import client as docmill_client
from docmill.client import (
    AsyncClient,
    Client,
    Conflict,
    DocumentFailed,
    FileMemory,
    Invalid,
    NotFound,
    TooLarge,
    Unreachable,
)
from running import Docmill

T = TypeVar("T")
MIB = 1 << 20


class Either:
    """A client of either kind, used alike: what is awaited is awaited here."""

    def __init__(self, kind: str, url: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._client: Any = (Client if kind == "blocking" else AsyncClient)(url, **options)

    def close(self) -> None:
        self.done(self._client.close())
        self._loop.close()

    def done(self, result: Any) -> Any:
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def upload(self, *args: Any, **options: Any) -> Any:
        return self.done(self._client.upload(*args, **options))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **options: self.done(method(*args, **options))


@pytest.fixture(params=["blocking", "awaited"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(docmill: Docmill, kind: str) -> Iterator[Either]:
    made = Either(kind, docmill.url)
    yield made
    made.close()


@pytest.fixture
def proxy(docmill: Docmill) -> Iterator[CuttingProxy]:
    host, port = docmill.url.removeprefix("http://").split(":")
    made = CuttingProxy((host, int(port)))
    yield made
    made.close()


def some(size: int = 50) -> bytes:
    line = f"{uuid4().hex} and some words\n".encode()
    return (line * (size // len(line) + 1))[:size]


def test_file_is_sent_followed_and_found(client: Either, tmp_path: Path) -> None:
    path = tmp_path / "tides.txt"
    content = some()
    path.write_bytes(content)
    there: list[tuple[int, int]] = []
    seen: list[str] = []
    document = client.upload(
        path, metadata={"year": 2026}, on_progress=lambda *at: there.append(at)
    )
    status = client.done(document.wait(on_status=lambda s: seen.append(s["status"])))
    assert (status["status"], status["filename"]) == ("completed", "tides.txt")
    assert there[-1] == (len(content), len(content))
    assert seen[-1] == "completed"
    hits = client.search(content.decode().split()[0], mode="text", filters={"year": 2026})
    assert [hit["document_id"] for hit in hits] == [document.id]
    assert client.done(document.content()) == content
    assert client.done(document.details())["metadata"] == {"year": 2026}
    assert [job["stage"] for job in client.done(document.jobs())] == ["parse", "chunk", "embed"]
    assert len(client.done(document.pages())) == len(client.done(document.chunks())) == 1
    assert document.id in {status["document_id"] for status in client.documents(limit=50)}
    client.done(document.delete())
    with pytest.raises(NotFound):
        client.done(document.status())


def test_large_file_goes_on_after_cuts_and_arrives_whole(
    proxy: CuttingProxy, docmill: Docmill, kind: str
) -> None:
    content = some(20 * MIB)
    proxy.cuts.extend([100, 9 * MIB, 3 * MIB, 10, 5 * MIB])
    client = Either(kind, proxy.url, patience_seconds=60)
    there: list[int] = []
    document = client.upload(content, filename="big.bin",
                             on_progress=lambda at, _: there.append(at))  # fmt: skip
    assert proxy.cut >= 3
    assert there == sorted(there)
    assert client.done(document.content()) == content
    assert docmill.status(document.id)["generation"] == 1
    client.close()


def test_another_program_goes_on_where_the_first_one_was_ended(
    proxy: CuttingProxy, kind: str, tmp_path: Path
) -> None:
    path, memory = tmp_path / "big.bin", FileMemory(tmp_path / "memory.json")
    content = os.urandom(20 * MIB)
    path.write_bytes(content)
    proxy.cuts.extend([1 * MIB + 17 * MIB, *[0] * 50])
    first = Either(kind, proxy.url, patience_seconds=0, memory=memory)
    with pytest.raises(Unreachable) as ended:
        first.upload(path)
    assert ended.value.uploaded >= 8 * MIB
    first.close()
    proxy.cuts.clear()
    second = Either(kind, proxy.url, memory=memory)
    there: list[int] = []
    document = second.upload(path, on_progress=lambda at, _: there.append(at))
    assert there[0] >= ended.value.uploaded, "it did not begin anew"
    assert second.done(document.content()) == content
    assert "/uploads/" not in (tmp_path / "memory.json").read_text()
    second.close()


def test_changed_file_is_not_taken_for_the_one_that_was_begun(
    proxy: CuttingProxy, kind: str, tmp_path: Path
) -> None:
    path, memory = tmp_path / "big.bin", FileMemory(tmp_path / "memory.json")
    path.write_bytes(os.urandom(20 * MIB))
    proxy.cuts.extend([10 * MIB, *[0] * 50])
    client = Either(kind, proxy.url, patience_seconds=0, memory=memory)
    with pytest.raises(Unreachable):
        client.upload(path)
    changed = os.urandom(20 * MIB)
    path.write_bytes(changed)
    proxy.cuts.clear()
    document = client.upload(path)
    assert client.done(document.content()) == changed
    client.close()


def test_open_file_and_bytes_are_sent_too(client: Either) -> None:
    content = some(MIB)
    document = client.upload(io.BytesIO(content), filename="a.txt", external_id=uuid4().hex)
    assert client.done(document.status())["filename"] == "a.txt"
    assert client.done(document.content()) == content


def test_what_goes_wrong_has_a_type(client: Either) -> None:
    content = some()
    first = client.upload(content)
    with pytest.raises(Invalid) as empty:
        client.upload(b"")
    assert empty.value.code == "FILE_EMPTY"
    with pytest.raises(TooLarge) as large:
        client.upload(io.BytesIO(bytes(50_000_001)), filename="large.bin")
    assert large.value.members["max_size"] == 50_000_000
    with pytest.raises(Invalid) as again:
        client.upload(content, on_duplicate="error")
    assert again.value.members["document_id"] == first.id
    client.done(first.wait())
    with pytest.raises(Conflict):
        client.done(first.retry())
    with pytest.raises(NotFound):
        client.done(client.document(str(uuid4())).status())


def test_document_that_fails_raises_its_reason(client: Either) -> None:
    document = client.upload(os.urandom(1000), filename="noise.bin")
    with pytest.raises(DocumentFailed, match="no kind of document") as failed:
        client.done(document.wait())
    assert failed.value.code == "TYPE_UNSUPPORTED"
    assert failed.value.status["status"] == "failed"


def test_waiting_ends_when_its_time_is_over(docmill: Docmill, kind: str) -> None:
    client = Either(kind, docmill.url)
    with docmill.frozen_workers():
        document = client.upload(some())
        with pytest.raises(TimeoutError):
            client.done(document.wait(timeout=0.5))
    client.done(document.wait())
    client.close()


def test_server_that_is_not_there_is_named(kind: str) -> None:
    client = Either(kind, "http://127.0.0.1:9", patience_seconds=0)
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9"):
        client.search("anything")
    client.close()


def test_both_clients_have_the_same_calls() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
    assert public(docmill_client.Document) == public(docmill_client.AsyncDocument)
    awaited: Callable[..., Awaitable[Any]] = AsyncClient("http://127.0.0.1:9").search
    assert inspect.iscoroutinefunction(awaited)
