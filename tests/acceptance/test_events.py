"""Changes are told to who listens: as committed, to their owner, to the end of each document."""

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from guarded import Guarded, guarded_docmill
from running import PATIENCE_SECONDS, Docmill, until


class Events:
    """What comes over one connection, as it comes."""

    def __init__(self, http: httpx2.Client) -> None:
        self.kinds: list[str] = []
        self.ended = threading.Event()
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._socket = socket.create_connection((http.base_url.host, http.base_url.port))
        authorization = http.headers.get("authorization")
        shown = f"Authorization: {authorization}\r\n" if authorization else ""
        # HTTP/1.0: the stream comes as it is, not in chunks.
        asking = f"GET /documents/events HTTP/1.0\r\nHost: {http.base_url.host}\r\n{shown}\r\n"
        self._socket.sendall(asking.encode())
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the server was quicker
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        with self._socket.makefile(encoding="utf-8") as lines:
            assert next(lines).split()[1] == "200"
            for line in lines:
                if line.startswith("event: "):
                    self.kinds.append(line.removeprefix("event: ").strip())
                elif line.startswith("data: "):
                    for document in json.loads(line.removeprefix("data: "))["documents"]:
                        self._told.put(document)
        self.ended.set()

    def next(self) -> dict[str, Any]:
        """The next document that something is told of."""
        return self._told.get(timeout=PATIENCE_SECONDS)

    def until(self, document_id: str, **expected: Any) -> list[dict[str, Any]]:
        """What is told of a document, up to what is expected."""
        told = []
        while True:
            document = self.next()
            if document["document_id"] == document_id:
                told.append(document)
                if expected.items() <= document.items():
                    return told


@contextlib.contextmanager
def listening(http: httpx2.Client) -> Iterator[Events]:
    events = Events(http)
    try:
        until(lambda: bool(events.kinds), "the snapshot is there")
        yield events
    finally:
        events.close()


def test_listener_hears_a_document_from_its_upload_to_its_end(docmill: Docmill) -> None:
    with listening(docmill.http) as events:
        document_id = docmill.upload("a.txt", uuid4().hex.encode())
        told = events.until(document_id, status="completed")
        versions = [document["version"] for document in told]
        assert versions == sorted(set(versions)), "it never goes back"
        assert versions[-1] == docmill.status(document_id)["version"]
        assert docmill.http.delete(f"/documents/{document_id}").status_code == 204
        events.until(document_id, deleted=True)
    assert events.kinds[0] == "snapshot"
    assert set(events.kinds[1:]) == {"changes"}


def test_who_comes_later_is_told_how_things_stand(docmill: Docmill) -> None:
    document_id = docmill.upload("a.txt", uuid4().hex.encode())
    docmill.completed(document_id)
    with listening(docmill.http) as events:
        (told,) = events.until(document_id, status="completed")
    assert told["version"] == docmill.status(document_id)["version"]


@pytest.fixture(scope="module")
def guarded(admin_url: str) -> Iterator[Guarded]:
    with guarded_docmill(admin_url) as served:
        yield served


def test_owners_hear_nothing_of_each_other(guarded: Guarded) -> None:
    mine, other = guarded.somebody(), guarded.somebody()
    with listening(mine.http) as events:
        foreign = other.upload("a.txt", b"theirs")
        other.completed(foreign)
        own = mine.upload("a.txt", b"mine")
        told: list[str] = []
        while own not in told:
            told.append(events.next()["document_id"])
    assert foreign not in told


def test_end_of_the_server_ends_the_stream_at_once(admin_url: str) -> None:
    with guarded_docmill(admin_url) as served, listening(served.somebody().http) as events:
        served.docmill.stop()
        assert events.ended.wait(PATIENCE_SECONDS)
