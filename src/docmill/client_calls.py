"""The calls of a client, each as a flow: what is asked, and what of the answer is given back."""

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from docmill import client_flows
from docmill.client_flows import (
    Ask,
    Flow,
    OnAway,
    OnProgress,
    OnStatus,
    Patience,
    Source,
    ask,
    ask_json,
)
from docmill.client_memory import NoMemory, UploadMemory
from docmill.client_types import Hit, Status

PAGE_SIZE = 200
JSON = {"Content-Type": "application/json"}

What = str | os.PathLike[str] | BinaryIO | bytes


class Settings:
    """What a client was told about the server, and about what to do when it is away."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        patience_seconds: float,
        memory: UploadMemory | None,
        on_away: OnAway | None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.memory = memory or NoMemory()
        self.make_document: Callable[[str], object] = str
        self._patience_seconds = patience_seconds
        self._on_away = on_away

    def patience(self, on_away: OnAway | None = None) -> Patience:
        """Fresh patience, for one call."""
        return Patience(self._patience_seconds, on_away or self._on_away)


def nothing(*_: object) -> None:
    """Nobody wants to know."""


# files -----------------------------------------------------------------------------------


def upload(
    settings: Settings,
    what: What,
    *,
    filename: str | None = None,
    collection: str | None = None,
    external_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    priority: str | None = None,
    on_duplicate: str | None = None,
    on_progress: OnProgress = nothing,
    on_away: OnAway | None = None,
) -> Flow[str]:
    """Send a file, from a path, an open file or bytes; the work on it goes on by itself.

    `on_progress` gets how many bytes the server has, and how many there are; `on_away` a sentence
    when the server is away and waited for.

    Raises:
        Refused, Unreachable: see `client_errors`.
    """
    given = {
        "collection": collection,
        "external_id": external_id,
        "metadata": json.dumps(metadata) if metadata else None,
        "priority": priority,
        "on_duplicate": on_duplicate,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    source = _source(what, filename, settings.base_url, fields)
    patience = settings.patience(on_away)
    try:
        sent = client_flows.upload(source, settings.memory, patience, on_progress)
        return (yield from sent)
    finally:
        if source.file is not what:
            source.file.close()


def _source(what: What, filename: str | None, base_url: str, fields: Mapping[str, str]) -> Source:
    if isinstance(what, bytes):
        return Source(filename or "untitled", io.BytesIO(what), len(what), fields, base_url)
    if isinstance(what, str | os.PathLike):
        path = Path(what)
        file, state = path.open("rb"), path.stat()
        identity = f"{base_url} {path.absolute()} {state.st_mtime_ns}"
        return Source(filename or path.name, file, state.st_size, fields, identity)
    return Source(filename or "untitled", what, what.seek(0, io.SEEK_END), fields, base_url)


# lists and search ------------------------------------------------------------------------


def documents(
    settings: Settings,
    *,
    limit: int | None = None,
    status: str | None = None,
    collection: str | None = None,
) -> Flow[list[Status]]:
    """The newest documents, as their statuses; without a limit all of them."""
    del settings
    given = {"status": status, "collection": collection}
    params = {name: value for name, value in given.items() if value is not None}
    return cast("list[Status]", (yield from _pages("/documents", "documents", params, limit)))


def search(
    settings: Settings,
    query: str,
    *,
    limit: int = 10,
    mode: str = "hybrid",
    collection: str | None = None,
    filters: Mapping[str, Any] | None = None,
) -> Flow[list[Hit]]:
    """The best passages for a query, best first; `mode` is `hybrid`, `vector` or `text`."""
    del settings
    body = {
        "query": query,
        "limit": limit,
        "mode": mode,
        "collection": collection,
        "filters": dict(filters or {}),
    }
    found = yield from ask_json(Ask("POST", "/search", JSON, json.dumps(body).encode()))
    return cast("list[Hit]", found["hits"])


def _pages(
    path: str, name: str, params: Mapping[str, str], limit: int | None = None
) -> Flow[list[Any]]:
    """The rows of a list, page by page."""
    rows: list[Any] = []
    token = ""
    while limit is None or len(rows) < limit:
        size = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - len(rows))
        asked: dict[str, str | int] = {**params, "page_token": token, "page_size": size}
        page = yield from ask_json(Ask("GET", path, params=asked))
        rows += cast("list[Any]", page[name])
        token = str(page["next_page_token"])
        if not token:
            break
    return rows


# one document ----------------------------------------------------------------------------


def wait(
    settings: Settings,
    document_id: str,
    *,
    timeout: float | None = None,
    on_status: OnStatus = nothing,
    on_away: OnAway | None = None,
) -> Flow[Status]:
    """Follow the document until it has ended, and return its last status.

    Closing the program, losing the network or a restart of the server changes nothing for the
    document. `on_status` gets every status that is seen.

    Raises:
        DocumentFailed: it failed, or was cancelled.
        TimeoutError: it has not ended after `timeout` seconds.
        Unreachable: the server was away for longer than the client's patience.
    """
    return client_flows.wait(document_id, settings.patience(on_away), on_status, timeout)


def status(settings: Settings, document_id: str) -> Flow[Status]:
    """How the document stands now."""
    del settings
    return cast("Status", (yield from ask_json(Ask("GET", f"/documents/{document_id}/status"))))


def details(settings: Settings, document_id: str) -> Flow[dict[str, Any]]:
    """The status, and what was said about the document at its upload."""
    del settings
    return (yield from ask_json(Ask("GET", f"/documents/{document_id}")))


def _asking(what: str, about: str) -> Callable[[Settings, str], Flow[Status]]:
    """A call that asks one thing of a document and returns how it stands then."""

    def asked(settings: Settings, document_id: str) -> Flow[Status]:
        del settings
        request = Ask("POST", f"/documents/{document_id}/{what}")
        return cast("Status", (yield from ask_json(request)))

    asked.__doc__ = about
    return asked


retry = _asking("retry", "Let the failed or cancelled document go on where it stopped.")
cancel = _asking("cancel", "Stop the work on the document.")
reprocess = _asking("reprocess", "Read the document anew; the old result serves until then.")


def delete(settings: Settings, document_id: str) -> Flow[None]:
    """Remove the document, in every state, with everything that hangs on it."""
    del settings
    yield from ask(Ask("DELETE", f"/documents/{document_id}"))


def content(settings: Settings, document_id: str) -> Flow[bytes]:
    """The original bytes."""
    del settings
    answer = yield from ask(Ask("GET", f"/documents/{document_id}/content"))
    return answer.content


def pages(settings: Settings, document_id: str) -> Flow[list[dict[str, Any]]]:
    """What parsing found, page by page."""
    del settings
    return (yield from _pages(f"/documents/{document_id}/pages", "pages", {}))


def chunks(settings: Settings, document_id: str) -> Flow[list[dict[str, Any]]]:
    """The passages that are searched."""
    del settings
    return (yield from _pages(f"/documents/{document_id}/chunks", "chunks", {}))


def jobs(settings: Settings, document_id: str) -> Flow[list[dict[str, Any]]]:
    """The audit trail: every job with every attempt."""
    del settings
    found = yield from ask_json(Ask("GET", f"/documents/{document_id}/jobs"))
    return cast("list[dict[str, Any]]", found["jobs"])
