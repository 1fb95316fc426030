"""What browsers are told for web pages of other origins that may call the API (CORS).

A browser lets a page of another origin read an answer, or send more than a plain form, only where
the server says so. The names are those of the headers that clients of the API send and look at.
"""

from collections.abc import Sequence
from typing import Any

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
SENT = (
    *("Authorization", "Content-Type", "Content-Disposition", "Content-Digest", "Repr-Digest"),
    *("Idempotency-Key", "If-None-Match", "Last-Event-ID", "Prefer", "Range", "traceparent"),
    *("Tus-Resumable", "Upload-Checksum", "Upload-Defer-Length", "Upload-Length"),
    *("Upload-Metadata", "Upload-Offset", "X-HTTP-Method-Override"),
)
LOOKED_AT = (
    *("Content-Disposition", "Content-Range", "ETag", "Location", "Preference-Applied"),
    *("Idempotency-Replayed", "Retry-After", "Want-Repr-Digest", "WWW-Authenticate"),
    *("Docmill-Document-Id", "Docmill-Outcome", "Docmill-Status-Url"),
    *("Tus-Checksum-Algorithm", "Tus-Extension", "Tus-Max-Size", "Tus-Resumable", "Tus-Version"),
    *("Upload-Defer-Length", "Upload-Expires", "Upload-Length", "Upload-Metadata", "Upload-Offset"),
)


def policy(origins: Sequence[str]) -> dict[str, Any]:
    """The arguments of Starlette's middleware. Cookies stay with docmill's own page."""
    return {
        "allow_origins": origins,
        "allow_methods": METHODS,
        "allow_headers": SENT,
        "expose_headers": LOOKED_AT,
        "allow_credentials": False,
    }
