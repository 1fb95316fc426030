"""`POST /upload-document-backend`: the body streams through; the answer comes after the commit."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from docmill import filename, status
from docmill.config import Settings
from docmill.errors import Problem
from docmill.lifecycle import PRIORITIES
from docmill.multipart import MultipartReader, PartBegins, PartData, PartEnds
from docmill.receiving import IncomingFile, NewDocument, too_large
from docmill.web.service import Service, TheOwner, TheService

router = APIRouter()

LONGEST_FIELD = 64 * 1024
LONGEST_NAME = 200
# What a multipart body may have around the file.
OVERHEAD_BYTES = 1 << 20
# A refusal in the middle of a body is only heard by a client that may finish sending first: a
# closed connection with unread bytes is reset, and the answer with it.
DRAINED_BYTES = 64 << 20
DRAINED_SECONDS = 5.0

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "collection": {"type": "string", "maxLength": LONGEST_NAME},
                        "external_id": {"type": "string", "maxLength": LONGEST_NAME},
                        "metadata": {"type": "string", "description": "a JSON object"},
                        "priority": {"type": "string", "enum": list(PRIORITIES)},
                    },
                }
            }
        },
    }
}


@router.post("/upload-document-backend", status_code=202, openapi_extra=BODY)
@router.post("/documents", status_code=202, openapi_extra=BODY)
async def upload(request: Request, service: TheService, owner: TheOwner) -> JSONResponse:
    """Take a document. 202 means: bytes, document and first job are committed."""
    refuse_by_headers(request, service.settings)
    body = Body(request, service.settings.upload_idle_seconds)
    form = Form(IncomingFile(service.database, owner, service.settings.max_upload_bytes))
    try:
        document = await form.read(body, request.headers.get("content-type", ""))
        row = await form.file.commit(document, service.settings.max_attempts)
    except BaseException as error:
        # A client that went away cancels nothing of this: what was kept is taken back.
        await asyncio.shield(form.file.abandon())
        if isinstance(error, Problem):
            await body.drain()
        raise
    return await accepted(service, owner, row["id"])


def refuse_by_headers(request: Request, settings: Settings) -> None:
    """Refuse what the headers alone show to be too much, before a byte of the body is read."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_upload_bytes + OVERHEAD_BYTES:
        raise too_large(settings.max_upload_bytes)


async def accepted(service: Service, owner: UUID, document_id: UUID) -> JSONResponse:
    """The 202 of a committed document: where to look, and how it stands."""
    async with service.database.reading(owner) as connection:
        statuses = await status.read(connection, [document_id])
    where = f"/documents/{document_id}"
    shown = statuses[0] if statuses else {"status": "queued", "done": False}
    body = {
        "document_id": str(document_id),
        "filename": shown.get("filename"),
        "status": shown["status"],
        "status_url": f"{where}/status",
        "queue_position": shown.get("queue_position"),
        "done": shown["done"],
        "links": {
            "self": where,
            "status": f"{where}/status",
            "content": f"{where}/content",
            "cancel": f"{where}/cancel",
        },
    }
    headers = {"Location": f"{where}/status", "Retry-After": "1"}
    return JSONResponse(body, 202, headers)


class Body:
    """A request's body as it comes in; a pause that is too long ends it."""

    def __init__(self, request: Request, idle_seconds: float) -> None:
        self._stream = request.stream()
        self._idle_seconds = idle_seconds
        self._ended = False
        self._expects_go_ahead = "expect" in request.headers
        self._began = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's bytes.

        Raises:
            Problem: UPLOAD_STALLED or UPLOAD_CUT_OFF.
        """
        while not self._ended:
            if chunk := await self._next():
                yield chunk

    async def drain(self) -> None:
        """Read on and drop it, within bounds, so that the client hears the refusal."""
        if self._expects_go_ahead and not self._began:
            return  # it waits for our word before it sends, and now it gets the refusal instead
        left = DRAINED_BYTES
        with contextlib.suppress(Problem, TimeoutError):
            async with asyncio.timeout(DRAINED_SECONDS):
                while not self._ended and left > 0:
                    left -= len(await self._next())

    async def _next(self) -> bytes:
        self._began = True
        try:
            chunk = await asyncio.wait_for(anext(self._stream, b""), self._idle_seconds)
        except TimeoutError as error:
            self._ended = True
            raise Problem(
                "UPLOAD_STALLED",
                f"Nothing came for {self._idle_seconds:g} seconds. Nothing was stored; send it"
                " again.",
            ) from error
        except ClientDisconnect as error:
            self._ended = True
            raise Problem("UPLOAD_CUT_OFF", "The connection ended before the upload.") from error
        self._ended = not chunk
        return chunk


class Form:
    """The parts of an upload: one file, and some fields about it in any order."""

    def __init__(self, file: IncomingFile) -> None:
        self.file = file
        self._filename: str | None = None
        self._fields: dict[str, str] = {}
        self._field: tuple[str, bytearray] | None = None
        self._in_file = False

    async def read(self, body: Body, content_type: str) -> NewDocument:
        """Read the whole body, keeping the file as it comes; returns what it says about the file.

        Raises:
            Problem: the form is not as it must be, or the file is refused.
        """
        reader = MultipartReader(content_type)
        async for chunk in body.chunks():
            for event in reader.feed(chunk):
                await self._take(event)
        reader.finish()
        if self._filename is None:
            raise Problem(
                "FILE_MISSING", "The form needs a part named `file` that has a file name."
            )
        return self._document(self._filename)

    async def _take(self, event: PartBegins | PartData | PartEnds) -> None:
        match event:
            case PartBegins(name="file", filename=str() as name):
                self._begin_file(name)
            case PartBegins(name=name):
                self._field = (name, bytearray())
            case PartData(data) if self._in_file:
                await self.file.write(data)
            case PartData(data):
                self._add_to_field(data)
            case PartEnds():
                self._end_part()

    def _begin_file(self, name: str) -> None:
        if self._filename is not None:
            raise Problem("TOO_MANY_FILES", "Send one file per request; many requests are fine.")
        self._filename = filename.checked(name)
        self._in_file = True

    def _add_to_field(self, data: bytes) -> None:
        if self._field is None:
            return
        self._field[1].extend(data)
        if len(self._field[1]) > LONGEST_FIELD:
            raise Problem(
                "FIELD_INVALID", f"The field {self._field[0]!r} is longer than {LONGEST_FIELD:,}."
            )

    def _end_part(self) -> None:
        if self._field is not None:
            name, value = self._field
            self._fields[name] = text_of(name, bytes(value))
        self._field = None
        self._in_file = False

    def _document(self, name: str) -> NewDocument:
        return NewDocument(
            filename=name,
            collection=short_text(self._fields, "collection"),
            external_id=short_text(self._fields, "external_id"),
            metadata=metadata_of(self._fields.get("metadata", "")),
            priority=priority_of(self._fields.get("priority", "")),
        )


def text_of(name: str, value: bytes) -> str:
    """A field's text; PostgreSQL keeps no NUL."""
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise Problem("FIELD_INVALID", f"The field {name!r} is not UTF-8.") from error
    if "\0" in text:
        raise Problem("FIELD_INVALID", f"The field {name!r} has a NUL character.")
    return text


def short_text(fields: dict[str, str], name: str) -> str | None:
    """An optional field that must be short."""
    value = fields.get(name) or None
    if value is not None and len(value) > LONGEST_NAME:
        raise Problem("FIELD_INVALID", f"The field {name!r} takes {LONGEST_NAME} characters.")
    return value


def priority_of(text: str) -> str:
    """The `priority` field: one of three words, or nothing."""
    if text and text not in PRIORITIES:
        raise Problem("FIELD_INVALID", f"The field 'priority' takes {', '.join(PRIORITIES)}.")
    return text or "normal"


def metadata_of(text: str) -> dict[str, Any]:
    """The `metadata` field: a JSON object, or nothing."""
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or "\\u0000" in text:
        raise Problem("FIELD_INVALID", "The field 'metadata' takes a JSON object: {\"a\": 1}.")
    return value
