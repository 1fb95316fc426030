"""Routes of documents: their status, their lists, what they hold, and what may be asked of them."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import AwareDatetime, TypeAdapter

from docmill import contents, digests, status
from docmill.control import not_found
from docmill.database import Async, Row
from docmill.errors import Problem
from docmill.lifecycle import DOCUMENT_STATES, PRIORITIES
from docmill.search import chunk_id
from docmill.web import conditional, paging
from docmill.web.service import Service, TheControl, TheOwner, TheService

router = APIRouter()

MOST_IDS = 100
LONGEST_WAIT_SECONDS = 30
LATER_SECONDS = 15
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d+)\"?", re.IGNORECASE)
RANGE = re.compile(r"bytes=(\d*)-(\d*)$")
PRIORITY_NAMES = {number: name for name, number in PRIORITIES.items()}
TIME: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)

PageSize = Annotated[int, Query(ge=1, description="lowered to 200")]


def document_id_of(text: str) -> UUID:
    """The id in a path; what can't be an id is not found, like one that never was."""
    try:
        return UUID(text)
    except ValueError:
        raise not_found() from None


# status ----------------------------------------------------------------------------------


@router.get("/documents/{document_id}/status")
async def read_status(
    document_id: str, request: Request, service: TheService, owner: TheOwner
) -> Response:
    """How the document stands. `Prefer: wait=25` holds the answer until it stands otherwise."""
    document = document_id_of(document_id)
    body = await _status(service, owner, document)
    headers = {}
    if (seconds := wait_asked(request)) is not None:
        headers["Preference-Applied"] = f"wait={seconds}"
        if _is_known(request, body):
            await service.watch.changed(owner, document, body["version"], seconds)
            body = await _status(service, owner, document)
    if not body["done"]:
        pause = status.ask_again_seconds(body["created_at"], datetime.now(UTC))
        headers["Retry-After"] = str(pause)
    return conditional.answer(request, body, headers)


def wait_asked(request: Request) -> int | None:
    """How many seconds the request would wait (RFC 7240); at most 30, below proxies' patience."""
    match = WAIT.search(request.headers.get("prefer", ""))
    return min(int(match[1][:6]), LONGEST_WAIT_SECONDS) if match else None


def _is_known(request: Request, body: dict[str, Any]) -> bool:
    """Whether there is something to wait for: work goes on, and the client has this state."""
    if body["done"]:
        return False
    if "if-none-match" not in request.headers:
        return True
    return conditional.matches(request, conditional.etag(conditional.encode(body)))


async def _status(service: Service, owner: UUID, document: UUID) -> dict[str, Any]:
    async with service.database.reading(owner) as connection:
        statuses = await status.read(connection, [document])
    if not statuses:
        raise not_found()
    return statuses[0]


# lists -----------------------------------------------------------------------------------


@router.get("/documents")
async def list_documents(
    request: Request,
    service: TheService,
    owner: TheOwner,
    *,
    page_size: PageSize = paging.DEFAULT_PAGE_SIZE,
    page_token: str = "",
    in_status: Annotated[str | None, Query(alias="status")] = None,
    collection: str | None = None,
    ids: Annotated[str | None, Query(description="up to 100 ids, separated by commas")] = None,
) -> Response:
    """Documents as their statuses, newest first; with `ids` exactly those that are there."""
    async with service.database.reading(owner) as connection:
        if ids is not None:
            shown, token = await _some(connection, ids), ""
        else:
            size = paging.page_size(page_size)
            listing = ["documents", str(owner), known_status(in_status), collection]
            shown, token = await _newest(connection, listing, size, page_token)
    body = {"documents": shown, "next_page_token": token}
    return conditional.answer(request, body, _ask_again(shown))


def known_status(name: str | None) -> str | None:
    """A status to filter by, as it is spelt."""
    if name is not None and name not in DOCUMENT_STATES:
        raise Problem("FIELD_INVALID", f"status takes one of {', '.join(DOCUMENT_STATES)}.")
    return name


async def _some(connection: Async, ids: str) -> list[dict[str, Any]]:
    wanted = []
    for text in filter(None, ids.split(",")):
        try:
            wanted.append(UUID(text.strip()))
        except ValueError:
            raise Problem("FIELD_INVALID", f"{text[:50]!r} is no document id.") from None
    if len(wanted) > MOST_IDS:
        raise Problem("FIELD_INVALID", f"ids takes {MOST_IDS} ids; ask in several requests.")
    return await status.read(connection, wanted)


async def _newest(
    connection: Async, listing: list[Any], size: int, page_token: str
) -> tuple[list[dict[str, Any]], str]:
    place = paging.place(listing, page_token)
    rows = await status.list_ids(
        connection,
        limit=size + 1,
        status=listing[2],
        collection=listing[3],
        before=None if place is None else _place(place),
    )
    shown = await status.read(connection, [row["id"] for row in rows[:size]])
    if len(rows) <= size:
        return shown, ""
    last = rows[size - 1]
    return shown, paging.token(listing, [last["created_at"].isoformat(), str(last["id"])])


def _place(place: list[Any]) -> tuple[datetime, UUID]:
    try:
        created_at, document_id = place
        return TIME.validate_python(created_at), UUID(document_id)
    except (ValueError, TypeError, AttributeError):
        raise paging.invalid() from None


def _ask_again(shown: list[dict[str, Any]]) -> dict[str, str]:
    """When to ask again: as soon as the youngest unfinished document should be asked about."""
    now = datetime.now(UTC)
    pauses = [
        status.ask_again_seconds(document["created_at"], now)
        for document in shown
        if not document["done"]
    ]
    return {"Retry-After": str(min(pauses))} if pauses else {}


# one document ----------------------------------------------------------------------------


@router.get("/documents/{document_id}")
async def read_document(
    document_id: str, request: Request, service: TheService, owner: TheOwner
) -> Response:
    """The document: its status, and what was said about it at the upload."""
    document = document_id_of(document_id)
    async with service.database.reading(owner) as connection:
        statuses = await status.read(connection, [document])
        file = await contents.find_file(connection, document)
        said = await contents.find_details(connection, document)
    if not statuses or file is None or said is None:
        raise not_found()
    return conditional.answer(
        request,
        {
            **statuses[0],
            **said,
            "priority": PRIORITY_NAMES[said["priority"]],
            "sha256": file["sha256"].hex(),
            "links": links(document),
        },
    )


def links(document: UUID) -> dict[str, str]:
    """Where everything of a document is found."""
    where = f"/documents/{document}"
    return {"self": where} | {
        name: f"{where}/{name}"
        for name in ("status", "content", "pages", "chunks", "jobs", "cancel", "retry")
    }


@router.delete("/documents/{document_id}", status_code=204)
async def delete_document(document_id: str, control: TheControl) -> Response:
    """Remove a document in whatever state, with everything that hangs on it."""
    await control.delete(document_id_of(document_id))
    return Response(status_code=204)


@router.post("/documents/{document_id}/cancel", status_code=202)
async def cancel_document(
    document_id: str, service: TheService, owner: TheOwner, control: TheControl
) -> JSONResponse:
    """Stop the work on a document. One that has ended stays as it is."""
    document = document_id_of(document_id)
    await control.cancel(document)
    return JSONResponse(await _status(service, owner, document), 202)


@router.post("/documents/{document_id}/retry", status_code=202)
async def retry_document(
    document_id: str, service: TheService, owner: TheOwner, control: TheControl
) -> JSONResponse:
    """Let a failed or cancelled document go on where it stopped."""
    document = document_id_of(document_id)
    await control.retry(document)
    return JSONResponse(await _status(service, owner, document), 202)


@router.post("/documents/{document_id}/reprocess", status_code=202)
async def reprocess_document(
    document_id: str, service: TheService, owner: TheOwner, control: TheControl
) -> JSONResponse:
    """Make a new generation of a document; the old one serves until the new one is complete."""
    document = document_id_of(document_id)
    await control.reprocess(document, service.settings.max_attempts)
    return JSONResponse(await _status(service, owner, document), 202)


@router.get("/documents/{document_id}/jobs")
async def list_jobs(
    document_id: str, request: Request, service: TheService, owner: TheOwner
) -> Response:
    """The audit trail: every job of the document with every attempt."""
    document = document_id_of(document_id)
    async with service.database.reading(owner) as connection:
        jobs = await contents.list_jobs(connection, document)
    if not jobs:
        raise not_found()
    return conditional.answer(request, {"jobs": [_plain(job) for job in jobs]})


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: status.shown_time(value) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


@router.get("/documents/{document_id}/pages")
async def list_pages(
    document_id: str,
    request: Request,
    service: TheService,
    owner: TheOwner,
    *,
    page_size: PageSize = paging.DEFAULT_PAGE_SIZE,
    page_token: str = "",
) -> Response:
    """What parsing found, page by page, with each page's place in the document's text."""
    size, document = paging.page_size(page_size), document_id_of(document_id)
    listing = ["pages", str(owner), str(document)]
    after = _number(paging.place(listing, page_token), beginning=0)
    async with service.database.reading(owner) as connection:
        rows = await contents.list_pages(connection, document, after=after, limit=size + 1)
    shown, token = _slice(rows, size, listing, "number")
    body = {"pages": [dict(row) for row in shown], "next_page_token": token}
    return conditional.answer(request, body)


@router.get("/documents/{document_id}/chunks")
async def list_chunks(
    document_id: str,
    request: Request,
    service: TheService,
    owner: TheOwner,
    *,
    page_size: PageSize = paging.DEFAULT_PAGE_SIZE,
    page_token: str = "",
) -> Response:
    """The passages that are searched, in the document's order."""
    size, document = paging.page_size(page_size), document_id_of(document_id)
    listing = ["chunks", str(owner), str(document)]
    after = _number(paging.place(listing, page_token), beginning=-1)
    async with service.database.reading(owner) as connection:
        rows = await contents.list_chunks(connection, document, after=after, limit=size + 1)
    shown, token = _slice(rows, size, listing, "ordinal")
    body = {"chunks": [_chunk(document, row) for row in shown], "next_page_token": token}
    return conditional.answer(request, body)


def _chunk(document: UUID, row: Row) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "generation"}
    return {"chunk_id": chunk_id(document, row["generation"], row["ordinal"]), **shown}


def _number(place: list[Any] | None, *, beginning: int) -> int:
    if place is None:
        return beginning
    if len(place) != 1 or not isinstance(place[0], int) or not 0 <= place[0] < 2**31:
        raise paging.invalid()
    return int(place[0])


def _slice(
    rows: list[Row] | None, size: int, listing: list[Any], key: str
) -> tuple[list[Row], str]:
    """A page of rows, of which one more than fits was read, and the token for what follows."""
    if rows is None:
        raise not_found()
    token = paging.token(listing, [rows[size - 1][key]]) if len(rows) > size else ""
    return rows[:size], token


# the original bytes ----------------------------------------------------------------------


@router.get("/documents/{document_id}/content")
async def read_content(
    document_id: str, request: Request, service: TheService, owner: TheOwner
) -> Response:
    """The original bytes, to be saved and never to be run by a browser."""
    document = document_id_of(document_id)
    async with service.database.reading(owner) as connection:
        file = await contents.find_file(connection, document)
    if file is None:
        raise not_found()
    headers = content_headers(file)
    if conditional.matches(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    first, last = asked_range(request.headers.get("range"), file["size"])
    whole = (first, last) == (0, file["size"] - 1)
    if not whole:
        headers["Content-Range"] = f"bytes {first}-{last}/{file['size']}"
    headers["Content-Length"] = str(last - first + 1)
    stream = contents.stream_bytes(service.database, owner, file["file_id"], first, last)
    return StreamingResponse(
        stream, 200 if whole else 206, headers, file["media_type"] or "application/octet-stream"
    )


def content_headers(file: Row) -> dict[str, str]:
    """Headers that make a browser save the bytes under the file's name and run nothing of them."""
    return {
        **conditional.HEADERS,
        "ETag": f'"{file["sha256"].hex()}"',
        "Accept-Ranges": "bytes",
        "Repr-Digest": digests.as_field(bytes(file["sha256"])),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file['filename'], safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


def asked_range(header: str | None, size: int) -> tuple[int, int]:
    """First and last byte that are asked for; everything where no single range is named.

    Raises:
        Problem: RANGE_INVALID.
    """
    match = RANGE.match((header or "").strip())
    if match is None or match[1] == match[2] == "":
        return 0, size - 1
    if match[1] == "":
        first, last = max(0, size - int(match[2][:18])), size - 1
    else:
        first = int(match[1][:18])
        last = min(int(match[2][:18] or size - 1), size - 1)
    if first > last:
        raise Problem("RANGE_INVALID", f"The file has {size:,} bytes.", size=size)
    return first, last
