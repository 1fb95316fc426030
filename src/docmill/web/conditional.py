"""Answers with an ETag over the whole body; 304 for who has it, packed for who takes gzip."""

import gzip
import hashlib
import json
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from docmill.web.description import Responses

HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Accept-Encoding"}
# For the description of routes that answer so.
UNCHANGED: Responses = {304: {"description": "It still has the tag of If-None-Match"}}
ASKED = {
    "parameters": [
        {"name": name, "in": "header", "schema": {"type": "string"}}
        for name in ("If-None-Match", "Accept-Encoding")
    ]
}
# Below this, headers weigh more than what packing saves.
PACKED_FROM_BYTES = 1_000
# The quickest: a list of documents shrinks to a tenth at any level.
PACKING = 1


def etag(content: bytes) -> str:
    """A weak tag: it stands for what the body says, not for how it was encoded on the way."""
    return f'W/"{hashlib.sha256(content).hexdigest()[:20]}"'


def matches(request: Request, tag: str) -> bool:
    """Whether the request names this tag in If-None-Match."""
    given = request.headers.get("if-none-match", "")
    opaque = tag.removeprefix("W/")
    return any(
        candidate.strip() == "*" or candidate.strip().removeprefix("W/") == opaque
        for candidate in given.split(",")
    )


def encode(body: Any) -> bytes:
    """JSON as this API writes it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def answer(
    request: Request, body: Any, headers: dict[str, str] | None = None, *, tagged: Any = None
) -> Response:
    """The body with its tag, or 304 without it.

    `tagged` is what the tag stands for, where a part of the body says nothing new when it changes.
    """
    content = encode(body)
    tag = etag(content if tagged is None else encode(tagged))
    all_headers = {**HEADERS, **(headers or {}), "ETag": tag}
    if matches(request, tag):
        return Response(status_code=304, headers=all_headers)
    if len(content) >= PACKED_FROM_BYTES and takes_gzip(request):
        content = gzip.compress(content, PACKING, mtime=0)
        all_headers["Content-Encoding"] = "gzip"
    return Response(content, 200, all_headers, "application/json")


def takes_gzip(request: Request) -> bool:
    """Whether the client unpacks gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")
