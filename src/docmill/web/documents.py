"""Routes of one document: its status, what it holds, and what may be asked of it."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from docmill import contents, digests, status
from docmill.client_types import Status
from docmill.control import not_found
from docmill.database import Row
from docmill.errors import Problem
from docmill.lifecycle import PRIORITIES
from docmill.search import chunk_id
from docmill.web import conditional, paging
from docmill.web.description import Responses, refusals, shaped
from docmill.web.service import (
    Service,
    TheControl,
    TheOwner,
    TheService,
    owner_of,
    service_of,
)
from docmill.web.shapes import ChunkList, Document, JobList, Leaf, PageList

router = APIRouter()

LONGEST_WAIT_SECONDS = 30
MOST_PAGES = 2**31 - 1
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d+)\"?", re.IGNORECASE)
RANGE = re.compile(r"bytes=(\d*)-(\d*)$")
PRIORITY_NAMES = {number: name for name, number in PRIORITIES.items()}

# For the description.
UNKNOWN = refusals("NOT_FOUND")
BYTES = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
CONTENT: Responses = {
    200: {"description": "All of it", **BYTES},
    206: {"description": "The range that was asked for", **BYTES},
}
RANGED = {
    "parameters": [
        *conditional.ASKED["parameters"],
        {"name": "Range", "in": "header", "schema": {"type": "string"}},
    ]
}
PATIENT = {
    "parameters": [
        *conditional.ASKED["parameters"],
        {"name": "Prefer", "in": "header", "schema": {"type": "string"}, "example": "wait=1"},
    ]
}


def seen(shape: Any) -> Responses:
    """What a route answers that shows something of a document."""
    return shaped(shape) | conditional.UNCHANGED | UNKNOWN


def changed(*refused: str) -> Responses:
    """What a route answers that changes how a document stands."""
    return shaped(Status, 202) | UNKNOWN | refusals(*refused)


def document_id_of(text: str) -> UUID:
    """The id in a path; what can't be an id is not found, like one that never was."""
    try:
        return UUID(text)
    except ValueError:
        raise not_found() from None


# status ----------------------------------------------------------------------------------


@router.get("/documents/{document_id}/status", responses=seen(Status), openapi_extra=PATIENT)
async def read_status(document_id: str, request: Request) -> Response:
    """How the document stands. `Prefer: wait=25` holds the answer until it stands otherwise."""
    service, owner = service_of(request), owner_of(request)
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
    shown = await service.statuses.of(owner, document)
    if shown is None:
        raise not_found()
    return shown


# one document ----------------------------------------------------------------------------


@router.get("/documents/{document_id}", responses=seen(Document), openapi_extra=conditional.ASKED)
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
        for name in ("status", "content", "pages", "chunks", "text", "jobs", "cancel", "retry")
    }


@router.delete("/documents/{document_id}", status_code=204, responses=UNKNOWN)
async def delete_document(document_id: str, control: TheControl) -> Response:
    """Remove a document in whatever state, with everything that hangs on it."""
    await control.delete(document_id_of(document_id))
    return Response(status_code=204)


@router.post("/documents/{document_id}/cancel", status_code=202, responses=changed())
async def cancel_document(
    document_id: str, service: TheService, owner: TheOwner, control: TheControl
) -> JSONResponse:
    """Stop the work on a document. One that has ended stays as it is."""
    document = document_id_of(document_id)
    await control.cancel(document)
    return JSONResponse(await _status(service, owner, document), 202)


@router.post(
    "/documents/{document_id}/retry", status_code=202, responses=changed("DOCUMENT_NOT_FAILED")
)
async def retry_document(
    document_id: str, service: TheService, owner: TheOwner, control: TheControl
) -> JSONResponse:
    """Let a failed or cancelled document go on where it stopped."""
    document = document_id_of(document_id)
    await control.retry(document)
    return JSONResponse(await _status(service, owner, document), 202)


@router.post(
    "/documents/{document_id}/reprocess",
    status_code=202,
    responses=changed("DOCUMENT_NOT_ENDED"),
)
async def reprocess_document(
    document_id: str, service: TheService, owner: TheOwner, control: TheControl
) -> JSONResponse:
    """Make a new generation of a document; the old one serves until the new one is complete."""
    document = document_id_of(document_id)
    await control.reprocess(document, service.settings.max_attempts)
    return JSONResponse(await _status(service, owner, document), 202)


@router.get(
    "/documents/{document_id}/jobs",
    responses=seen(JobList),
    openapi_extra=conditional.ASKED,
)
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


@router.get(
    "/documents/{document_id}/pages",
    responses=seen(PageList) | refusals("PAGE_TOKEN_INVALID"),
    openapi_extra=conditional.ASKED,
)
async def list_pages(
    document_id: str,
    request: Request,
    service: TheService,
    owner: TheOwner,
    *,
    page_size: paging.PageSize = paging.DEFAULT_PAGE_SIZE,
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


@router.get(
    "/documents/{document_id}/chunks",
    responses=seen(ChunkList) | refusals("PAGE_TOKEN_INVALID"),
    openapi_extra=conditional.ASKED,
)
async def list_chunks(
    document_id: str,
    request: Request,
    service: TheService,
    owner: TheOwner,
    *,
    page_size: paging.PageSize = paging.DEFAULT_PAGE_SIZE,
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


@router.get(
    "/documents/{document_id}/text",
    responses=seen(Leaf),
    openapi_extra=conditional.ASKED,
)
async def read_text(
    document_id: str,
    request: Request,
    service: TheService,
    owner: TheOwner,
    *,
    page: Annotated[int | None, Query(ge=1, le=MOST_PAGES)] = None,
    at: Annotated[int, Query(ge=0, le=contents.LAST_CHARACTER, description="a character")] = 0,
) -> Response:
    """The text of a page, or around a character, with the passages that were cut from it."""
    document = document_id_of(document_id)
    async with service.database.reading(owner) as connection:
        leaf = await contents.read_leaf(connection, document, page=page, at=at)
    if leaf is None:
        raise not_found()
    chunks = [_chunk(document, {"generation": leaf["generation"], **row}) for row in leaf["chunks"]]
    return conditional.answer(request, {**leaf, "chunks": chunks})


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


@router.get(
    "/documents/{document_id}/content",
    response_class=Response,
    responses=CONTENT | conditional.UNCHANGED | UNKNOWN | refusals("RANGE_INVALID"),
    openapi_extra=RANGED,
)
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
        # In the same moment: a new version may take the file's place in the next one.
        begun = await contents.read_slice(connection, file["file_id"], first, last)
    whole = (first, last) == (0, file["size"] - 1)
    if not whole:
        headers["Content-Range"] = f"bytes {first}-{last}/{file['size']}"
    headers["Content-Length"] = str(last - first + 1)
    stream = contents.stream_bytes(
        service.database, owner, file["file_id"], first, last, begun=begun
    )
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
