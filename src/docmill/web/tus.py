"""`/uploads`: resumable uploads by tus 1.0 (https://tus.io/protocols/resumable-upload).

Extensions: creation, creation-with-upload, creation-defer-length, termination, expiration,
checksum. The rules are in `uploads.py`; here are headers. Two answers differ from the rest of the
API, because of what the common client does with them: while the database is away an existing upload
answers 423 (after any other failure of HEAD the client begins anew at byte 0), and nothing that is
final answers 409 (which it takes for a lock, and tries again).
"""

import base64
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.status import HTTP_412_PRECONDITION_FAILED, HTTP_500_INTERNAL_SERVER_ERROR

from docmill import digests, uploads
from docmill.accepting import NewDocument, empty, too_large
from docmill.errors import Problem
from docmill.uploads import Slice, Upload
from docmill.web import problems
from docmill.web.body import Body, CutOff
from docmill.web.description import Responses, refusals
from docmill.web.service import Service, TheOwner, TheService
from docmill.web.upload_fields import LONGEST_FIELD, SCHEMA, new_document, storable_object, text_of

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum"
SLICE = "application/offset+octet-stream"
UNNAMED = "untitled"
COME_BACK_SECONDS = 2
ABOUT_THE_SERVER = {
    "Tus-Version": VERSION,
    "Tus-Extension": EXTENSIONS,
    "Tus-Checksum-Algorithm": ",".join(digests.TUS_ALGORITHMS),
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class TusRoute(APIRoute):
    """A route whose answers, refusals too, are what clients of tus expect."""

    def get_route_handler(self) -> Handler:
        """The handler, with its exceptions answered here."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await handle(request)
            except Exception as error:  # noqa: BLE001 - every one is answered as a problem
                response = problems.response(_as_tus(problems.from_exception(error), request))
            response.headers["Tus-Resumable"] = VERSION
            if response.status_code == HTTP_412_PRECONDITION_FAILED:
                response.headers["Tus-Version"] = VERSION
            return response

        return answer


router = APIRouter(route_class=TusRoute)

# For the description.
OF_SLICES = "Upload-Checksum"
OF_BYTES = (
    *("TUS_VERSION_UNSUPPORTED", "UPLOAD_HEADER_INVALID", "DIGEST_INVALID"),
    *("FILENAME_HAS_PATH", "FILENAME_HAS_CONTROL_CHARACTERS", "FILENAME_TOO_LONG", "FILE_EMPTY"),
    *("FILE_TOO_LARGE", "UPLOAD_TOO_LONG", "UPLOAD_CHECKSUM_MISMATCH", "UPLOAD_DUPLICATE"),
    *("UPLOAD_LOCKED", "TOO_MANY_UPLOADS", "QUOTA_EXCEEDED", "STORAGE_FULL"),
)
OF_TURNS = ("MEDIA_TYPE_UNSUPPORTED", "UPLOAD_OFFSET_WRONG", "UPLOAD_TAKEN_OVER")
UNKNOWN = refusals("NOT_FOUND", "UPLOAD_EXPIRED", "TUS_VERSION_UNSUPPORTED", "UPLOAD_LOCKED")
BEGUN: Responses = {201: {"description": "Begun; Location is where its bytes go"}}


HEADERS: dict[str, dict[str, Any]] = {
    "Upload-Length": {"type": "integer", "minimum": 1},
    "Upload-Defer-Length": {"type": "string", "enum": ["1"]},
    "Upload-Offset": {"type": "integer", "minimum": 0},
    "Upload-Checksum": {"type": "string", "pattern": "^(sha1|sha256|sha512) [A-Za-z0-9+/]+=*$"},
    "Upload-Metadata": {
        "type": "string",
        "pattern": "^([!-+.-~]+ ([A-Za-z0-9+/]{4})*)(,[!-+.-~]+ ([A-Za-z0-9+/]{4})*)*$",
    },
}


def taking(*headers: str, needed: str = "") -> dict[str, Any]:
    """The description of a request of tus: the version that it speaks, and further headers."""
    version = {"type": "string", "enum": [VERSION]}
    speaks = {"name": "Tus-Resumable", "in": "header", "required": True, "schema": version}
    given = [
        {"name": name, "in": "header", "required": name == needed, "schema": HEADERS[name]}
        for name in headers
    ]
    content = {SLICE: {"schema": {"type": "string", "format": "binary"}}}
    body = {"requestBody": {"content": content}} if OF_SLICES in headers else {}
    return {"parameters": [speaks, *given], **body}


def _as_tus(problem: Problem, request: Request) -> Problem:
    """The refusal that makes a client of tus do the right thing."""
    exists = "upload_id" in request.path_params
    passing = problem.code == "DATABASE_UNAVAILABLE" or request.method == "HEAD"
    if exists and passing and problem.kind.status >= HTTP_500_INTERNAL_SERVER_ERROR:
        return Problem("UPLOAD_LOCKED", problem.detail, retry_after=COME_BACK_SECONDS)
    if problem.code == "DUPLICATE":
        return Problem("UPLOAD_DUPLICATE", problem.detail, **problem.members)
    return problem


@router.options("/uploads", name="describe_uploads", status_code=204)
async def describe(service: TheService) -> Response:
    """What the server can do."""
    most = str(service.settings.max_upload_bytes)
    return Response(status_code=204, headers={**ABOUT_THE_SERVER, "Tus-Max-Size": most})


@router.options("/uploads/{upload_id}", name="describe_upload", status_code=204)
async def describe_one(upload_id: str, service: TheService) -> Response:  # noqa: ARG001 - the path
    """What the server can do, whatever the upload."""
    return await describe(service)


@router.post(
    "/uploads",
    name="begin_upload",
    status_code=201,
    response_class=Response,
    responses=BEGUN | refusals(*OF_BYTES),
    openapi_extra=taking("Upload-Length", "Upload-Defer-Length", OF_SLICES, "Upload-Metadata"),
)
async def create(request: Request, service: TheService, owner: TheOwner) -> Response:
    """Begin an upload, with its first bytes if there are any in the body."""
    _speaks_tus(request)
    metadata = request.headers.get("upload-metadata", "")
    said = said_in(metadata)
    length = _length(request, service, said.filename)
    if length is None and request.headers.get("upload-defer-length") != "1":
        raise _invalid("Say the size by Upload-Length, or Upload-Defer-Length: 1.")
    with_bytes = _is_slice(request)
    slice_ = await service.uploads.create(owner, length, said, metadata)
    upload = await _received(request, service, slice_) if with_bytes else slice_.upload
    slice_.close()
    headers = {"Location": f"/uploads/{upload.id}"}
    if with_bytes:
        headers["Upload-Offset"] = str(upload.received)
    return Response(status_code=201, headers={**_standing(upload), **headers})


@router.head(
    "/uploads/{upload_id}",
    name="look_at_upload",
    response_class=Response,
    responses=UNKNOWN,
    openapi_extra=taking(),
)
async def look(upload_id: str, request: Request, service: TheService, owner: TheOwner) -> Response:
    """How far an upload is."""
    _speaks_tus(request)
    upload = await service.uploads.look(owner, _id(upload_id))
    length = (
        {"Upload-Defer-Length": "1"}
        if upload.length is None
        else ({"Upload-Length": str(upload.length)})
    )
    said = {"Upload-Metadata": upload.metadata} if upload.metadata else {}
    headers = {
        "Upload-Offset": str(upload.received),
        "Cache-Control": "no-store",
        **length,
        **said,
        **_standing(upload),
    }
    return Response(status_code=200, headers=headers)


@router.patch(
    "/uploads/{upload_id}",
    name="continue_upload",
    status_code=204,
    responses=UNKNOWN | refusals(*OF_BYTES, *OF_TURNS),
    openapi_extra=taking("Upload-Offset", "Upload-Length", OF_SLICES, needed="Upload-Offset"),
)
async def go_on(upload_id: str, request: Request, service: TheService, owner: TheOwner) -> Response:
    """Take some more bytes; the last ones make the upload a document."""
    _speaks_tus(request)
    if not _is_slice(request):
        raise Problem("MEDIA_TYPE_UNSUPPORTED", f"Send the bytes as {SLICE}.")
    offset = _number(request, "upload-offset")
    if offset is None:
        raise _invalid("Say by Upload-Offset where the bytes belong.")
    length = _length(request, service, UNNAMED)
    held = await service.uploads.take(owner, _id(upload_id), offset, length)
    if isinstance(held, Slice):
        upload = await _received(request, service, held)
        held.close()
    else:
        upload = held
        _refuse_more(request, upload)
    headers = {"Upload-Offset": str(upload.received), **_standing(upload)}
    return Response(status_code=204, headers=headers)


@router.delete(
    "/uploads/{upload_id}",
    name="end_upload",
    status_code=204,
    responses=UNKNOWN,
    openapi_extra=taking(),
)
async def end(upload_id: str, request: Request, service: TheService, owner: TheOwner) -> Response:
    """Give an upload up, and its bytes with it. A document that it has become stays."""
    _speaks_tus(request)
    await service.uploads.end(owner, _id(upload_id))
    return Response(status_code=204)


async def _received(request: Request, service: Service, slice_: Slice) -> Upload:
    """What comes in a request's body; kept as far as it came, however it ends."""
    body = Body(request, service.settings.upload_idle_seconds, slice_.leave)
    try:
        slice_.checksum = digests.tus_checksum(request.headers.get("upload-checksum", ""))
        slice_.refuse_more_than(slice_.received + (_number(request, "content-length") or 0))
        async for chunk in body.chunks():
            await slice_.write(chunk)
        return await slice_.end()
    except CutOff as error:
        await slice_.stop()
        raise Problem(
            "UPLOAD_LOCKED",
            f"The bytes stopped coming. The upload is at {slice_.received}; go on from there.",
            retry_after=COME_BACK_SECONDS,
        ) from error
    except Problem:
        await body.drain()
        raise
    finally:
        slice_.close()


def _refuse_more(request: Request, upload: Upload) -> None:
    if _number(request, "content-length"):
        raise Problem("UPLOAD_TOO_LONG", f"Upload-Length is {upload.length:,}; all of it is here.")


def _standing(upload: Upload) -> dict[str, str]:
    """What every answer about an upload says: until when it is kept, or what it has become."""
    if upload.document_id is None:
        until = upload.expires_at.astimezone(UTC)
        return {"Upload-Expires": format_datetime(until, usegmt=True)}
    return {
        "Docmill-Document-Id": str(upload.document_id),
        "Docmill-Outcome": upload.outcome or "",
        "Docmill-Status-Url": f"/documents/{upload.document_id}/status",
    }


# headers -------------------------------------------------------------------------------


def _speaks_tus(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise Problem("TUS_VERSION_UNSUPPORTED", f"Send Tus-Resumable: {VERSION}.")


def _is_slice(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == SLICE


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise uploads.not_found() from None


def _length(request: Request, service: Service, filename: str) -> int | None:
    """The size of the whole upload, where the request says it."""
    length = _number(request, "upload-length")
    if length is None:
        return None
    if length > service.settings.max_upload_bytes:
        raise too_large(service.settings.max_upload_bytes)
    if length == 0:
        raise empty(filename)
    return length


def _number(request: Request, header: str) -> int | None:
    value = request.headers.get(header)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal()) or len(value) > len(str(2**63)) - 1:
        raise _invalid(f"{header.title()} takes a whole number.")
    return int(value)


def said_in(header: str) -> NewDocument:
    """What `Upload-Metadata` says about the file.

    `filename` (or `name`), the fields of an upload by form, and anything else as the document's
    metadata; `filetype` and `type` are passed over, for the content tells.

    Raises:
        Problem: UPLOAD_HEADER_INVALID, FIELD_INVALID, or one about the file's name.
    """
    fields = _metadata(header)
    name = fields.pop("filename", "") or fields.pop("name", "") or UNNAMED
    for told_by_content in ("filetype", "type", "name"):
        fields.pop(told_by_content, None)
    known = {key: fields.pop(key) for key in list(fields) if key in SCHEMA}
    document = new_document(name, known)
    return replace(document, metadata=storable_object("metadata", {**fields, **document.metadata}))


def _metadata(header: str) -> dict[str, str]:
    """The pairs of `Upload-Metadata`: a key and a value in base64, separated by a space."""
    if len(header) > LONGEST_FIELD:
        raise _invalid(f"Upload-Metadata is longer than {LONGEST_FIELD:,}.")
    fields: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in header.split(","))):
        key, _, value = pair.partition(" ")
        try:
            content = base64.b64decode(value.strip(), validate=True)
        except ValueError:  # binascii.Error is one; a text that is not ASCII gets another
            detail = f"The value of {key[:50]!r} in Upload-Metadata is not base64."
            raise _invalid(detail) from None
        fields[key] = text_of(key, content)
    return fields


def _invalid(detail: str) -> Problem:
    return Problem("UPLOAD_HEADER_INVALID", detail)
