"""`POST /upload-document-backend`: the body streams through; the answer comes after the commit."""

import asyncio
import hashlib
import logging
import re
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from docmill import accepting, digests, filename, idempotency, status
from docmill.accepting import Accepted, NewDocument
from docmill.database import Async
from docmill.errors import Problem
from docmill.idempotency import Finished, Running
from docmill.multipart import MultipartReader, PartBegins, PartData, PartEnds
from docmill.receiving import IncomingFile, nothing_else
from docmill.web import body, shapes, upload_fields
from docmill.web.body import Body, CutOff
from docmill.web.description import Responses, links, refusals
from docmill.web.service import Service, owner_of, service_of
from docmill.web.upload_fields import new_document, text_of

log = logging.getLogger(__name__)

router = APIRouter()

# What a multipart body may have around the file.
OVERHEAD_BYTES = 1 << 20
RAW = "application/octet-stream"
FILENAME = re.compile(
    r"filename\*=UTF-8''(?P<encoded>[^;\s]+)|filename=\"(?P<quoted>[^\"]*)\"", re.IGNORECASE
)

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
                        **upload_fields.SCHEMA,
                    },
                }
            },
            RAW: {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "parameters": [
        {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}},
        {"name": "Content-Digest", "in": "header", "schema": {"type": "string"}},
        {"name": "Repr-Digest", "in": "header", "schema": {"type": "string"}},
    ],
}

LINKS = links(
    status="read_status",
    document="read_document",
    content="read_content",
    jobs="list_jobs",
    pages="list_pages",
    chunks="list_chunks",
    text="read_text",
    cancel="cancel_document",
    retry="retry_document",
    reprocess="reprocess_document",
    delete="delete_document",
)
ANSWERS: Responses = {
    200: {"model": shapes.Accepted, "description": "It is here already", "links": LINKS},
    202: {"model": shapes.Accepted, "description": "It is kept, and in work", "links": LINKS},
    **refusals(
        *("MULTIPART_BROKEN", "FILE_MISSING", "FILE_EMPTY", "TOO_MANY_FILES"),
        *("FILENAME_HAS_PATH", "FILENAME_HAS_CONTROL_CHARACTERS", "FILENAME_TOO_LONG"),
        *("FILE_TOO_LARGE", "MEDIA_TYPE_UNSUPPORTED", "DUPLICATE"),
        *("DIGEST_INVALID", "DIGEST_MISMATCH"),
        *("IDEMPOTENCY_KEY_INVALID", "IDEMPOTENCY_KEY_IN_USE", "IDEMPOTENCY_KEY_REUSED"),
        *("TOO_MANY_UPLOADS", "QUOTA_EXCEEDED", "STORAGE_FULL"),
    ),
}


@router.post(
    "/upload-document-backend",
    name="upload_document_backend",
    status_code=202,
    responses=ANSWERS,
    openapi_extra=BODY,
)
@router.post("/documents", status_code=202, responses=ANSWERS, openapi_extra=BODY)
async def upload(request: Request) -> JSONResponse:
    """Take a document. 202 means: bytes, document and first job are committed."""
    service, owner = service_of(request), owner_of(request)
    refuse_by_headers(request, service.settings.max_upload_bytes)
    receiving = Receiving(request, service, owner)
    if key := request.headers.get("idempotency-key"):
        return await _once(receiving, await idempotency.begin(service.database, owner, key))
    return await receiving.answered()


def refuse_by_headers(request: Request, max_bytes: int) -> None:
    """Refuse what the headers alone show to be too much, before a byte of the body is read."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes + OVERHEAD_BYTES:
        raise accepting.too_large(max_bytes)


async def _once(receiving: "Receiving", request: Running | Finished) -> JSONResponse:
    """Do what is asked, if it was not done before; else give the answer that was given then."""
    if isinstance(request, Running):
        return await receiving.answered(request)
    said, file = await receiving.compared()
    same = idempotency.fingerprint(file.sha256, asdict(said))
    again = request.replayed(same)
    return answer(request.status, again, {"Idempotency-Replayed": "true"})


def answer(code: int, shown: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer of a document that is committed: where to look, and how it stands."""
    where = shown["status_url"]
    always = {"Location": where, "Want-Repr-Digest": digests.WANTED}
    asking = {} if shown["done"] else {"Retry-After": "1"}
    return JSONResponse(shown, code, {**always, **asking, **(headers or {})})


async def shown_after(
    connection: Async, accepted: Accepted, sha256: bytes, name: str
) -> dict[str, Any]:
    """The body of the answer, from what the transaction is about to commit.

    A document that is new is as it was made just now; only its place in line is not known yet.
    """
    if accepted.outcome == "accepted":
        position = accepted.position
        if position is None:
            position = await status.read_position(connection, accepted.document_id)
        return shown_new(accepted.document_id, position, sha256, name)
    (now,) = await status.read(connection, [accepted.document_id])
    return _shown(accepted, sha256, now)


def shown_new(document_id: UUID, position: int, sha256: bytes, name: str) -> dict[str, Any]:
    """The body of the answer to a document that has just come."""
    now = {"filename": name, "status": "queued", "queue_position": position, "done": False}
    return _shown(Accepted(document_id, "accepted"), sha256, now)


def _shown(accepted: Accepted, sha256: bytes, now: dict[str, Any]) -> dict[str, Any]:
    where = f"/documents/{accepted.document_id}"
    return {
        "document_id": str(accepted.document_id),
        "outcome": accepted.outcome,
        "filename": now["filename"],
        "sha256": sha256.hex(),
        "status": now["status"],
        "status_url": f"{where}/status",
        "queue_position": now["queue_position"],
        "done": now["done"],
        "links": {
            "self": where,
            "status": f"{where}/status",
            "content": f"{where}/content",
            "cancel": f"{where}/cancel",
        },
    }


class Receiving:
    """One request that sends a file: what comes in, and what is checked of it on the way."""

    def __init__(self, request: Request, service: Service, owner: UUID) -> None:
        self._headers = request.headers
        self._query = dict(request.query_params)
        self._service = service
        self._owner = owner
        self._body = Body(request, service.settings.upload_idle_seconds)
        stated = (request.headers.getlist(name) for name in ("content-digest", "repr-digest"))
        self._digests = digests.stated(value for values in stated for value in values)

    async def answered(self, request: Running | None = None) -> JSONResponse:
        """Receive the file, make it a document, and say so.

        Raises:
            Problem: the file, its name, a field or a digest is refused; nothing is left behind.
        """
        beside = nothing_else if request is None else request.renew
        file = IncomingFile(self._service.database, self._owner, self._service.limits, beside)
        try:
            document = await self._read(file)
            return await self._accepted(file, document, request)
        except BaseException as error:
            # A client that went away cancels nothing of this: what was kept is taken back.
            await asyncio.shield(_take_back(file, request))
            if isinstance(error, CutOff):
                raise body.refusal(error) from error
            if isinstance(error, Problem):
                await self._body.drain()
            raise

    async def compared(self) -> "tuple[NewDocument, Hashed]":
        """Receive the file and keep nothing of it, only to know whether it is the same."""
        file = Hashed(self._service.limits.max_bytes)
        try:
            return await self._read(file), file
        except CutOff as error:
            raise body.refusal(error) from error

    async def _accepted(
        self, file: IncomingFile, document: NewDocument, request: Running | None
    ) -> JSONResponse:
        if request is None and (new := await file.commit_new(document)):
            assert new.position is not None  # noqa: S101 - it comes with what is new
            shown = shown_new(new.document_id, new.position, file.sha256, document.filename)
            return self._answer(202, shown)
        given: list[tuple[int, dict[str, Any]]] = []

        async def within(connection: Async, accepted: Accepted) -> None:
            shown = await shown_after(connection, accepted, file.sha256, document.filename)
            code = 200 if accepted.outcome == "existing" else 202
            if request is not None:
                same = idempotency.fingerprint(file.sha256, asdict(document))
                await request.finish(connection, same, code, shown)
            given[:] = [(code, shown)]

        await file.commit(document, within)
        ((code, shown),) = given
        return self._answer(code, shown)

    def _answer(self, code: int, shown: dict[str, Any]) -> JSONResponse:
        log.info("document %s is here: %s", shown["document_id"], shown["outcome"])
        return answer(code, shown)

    async def _read(self, file: "IncomingFile | Hashed") -> NewDocument:
        content_type = self._headers.get("content-type", "")
        raw = content_type.partition(";")[0].strip().lower() == RAW
        form: Raw | Form = Raw(file) if raw else Form(file, content_type)
        async for chunk in self._body.chunks():
            self._digests.update(chunk)
            await form.feed(chunk)
        digests.refuse_mismatch(self._digests)
        if isinstance(form, Raw):
            return new_document(self._raw_name(), self._query)
        return form.document()

    def _raw_name(self) -> str:
        """The file's name where the body is the file itself."""
        match = FILENAME.search(self._headers.get("content-disposition", ""))
        if match is None:
            raise Problem(
                "FILE_MISSING",
                "With application/octet-stream, say the file's name: Content-Disposition:"
                " attachment; filename*=UTF-8''report.pdf",
            )
        if match["encoded"]:
            return _text(unquote_to_bytes(match["encoded"]))
        return _text(match["quoted"].encode("latin-1"))


def _text(name: bytes) -> str:
    """A file's name from a header, whose bytes are UTF-8 today whatever the standards say."""
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise Problem(
            "FIELD_INVALID", "The file name in Content-Disposition is not UTF-8."
        ) from error


async def _take_back(file: IncomingFile, request: Running | None) -> None:
    await file.abandon()
    if request is not None:
        await request.forget()


class Hashed:
    """A file that is not kept: its digest is all that is wanted of it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> bytes:
        """The digest of what has come so far."""
        return self._hash.digest()

    async def write(self, data: bytes) -> None:
        """Take some more bytes.

        Raises:
            Problem: FILE_TOO_LARGE.
        """
        self._size += len(data)
        if self._size > self._max_bytes:
            raise accepting.too_large(self._max_bytes)
        self._hash.update(data)


class Raw:
    """A body that is the file itself."""

    def __init__(self, file: IncomingFile | Hashed) -> None:
        self._file = file

    async def feed(self, chunk: bytes) -> None:
        """Take some more of the body."""
        await self._file.write(chunk)


class Form:
    """A form: one file, and some fields about it in any order."""

    def __init__(self, file: IncomingFile | Hashed, content_type: str) -> None:
        self._file = file
        self._reader = MultipartReader(content_type)
        self._filename: str | None = None
        self._fields: dict[str, str] = {}
        self._field: tuple[str, bytearray] | None = None
        self._in_file = False

    async def feed(self, chunk: bytes) -> None:
        """Take some more of the body, keeping the file as it comes.

        Raises:
            Problem: the form is not as it must be, or the file is refused.
        """
        for event in self._reader.feed(chunk):
            await self._take(event)

    def document(self) -> NewDocument:
        """What the form says about the file, once it has ended.

        Raises:
            Problem: as above.
        """
        self._reader.finish()
        if self._filename is None:
            raise Problem(
                "FILE_MISSING", "The form needs a part named `file` that has a file name."
            )
        return new_document(self._filename, self._fields)

    async def _take(self, event: PartBegins | PartData | PartEnds) -> None:
        match event:
            case PartBegins(name="file", filename=str() as name):
                self._begin_file(name)
            case PartBegins(name=name):
                self._field = (name, bytearray())
            case PartData(data) if self._in_file:
                await self._file.write(data)
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
        if self._field is not None:
            name, value = self._field
            upload_fields.refuse_longer(name, len(value) + len(data))
            value.extend(data)

    def _end_part(self) -> None:
        if self._field is not None:
            name, value = self._field
            self._fields[name] = text_of(name, bytes(value))
        self._field = None
        self._in_file = False
