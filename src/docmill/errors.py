"""Everything that can go wrong, as tables: a code, a title, a status or remedy, try again or not.

Two kinds, because two kinds of people read them. A `Problem` answers a request (RFC 9457): it
carries an HTTP status and nothing was stored. A `Failure` ends or delays the work on a stored
document: it goes into the job, the audit trail and the document's status.

Codes are stable: clients and the page's catalogue key on them. `tests/unit/test_errors.py` keeps
docs and page complete.
"""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A refusal of a request: HTTP status and a title that never changes."""

    status: int
    title: str


PROBLEMS = {
    "BAD_REQUEST": ProblemKind(400, "The request can't be understood"),
    "MULTIPART_BROKEN": ProblemKind(400, "The upload's multipart body is broken"),
    "UPLOAD_CUT_OFF": ProblemKind(400, "The upload ended early"),
    "FILE_MISSING": ProblemKind(422, "No file in the upload"),
    "FILE_EMPTY": ProblemKind(422, "The file is empty"),
    "FILENAME_HAS_PATH": ProblemKind(422, "The file name is a path"),
    "FILENAME_HAS_CONTROL_CHARACTERS": ProblemKind(422, "The file name has control characters"),
    "FILENAME_TOO_LONG": ProblemKind(422, "The file name is too long"),
    "FIELD_INVALID": ProblemKind(422, "A field of the request is wrong"),
    "TOO_MANY_FILES": ProblemKind(422, "More than one file in the upload"),
    "FILE_TOO_LARGE": ProblemKind(413, "File too large"),
    "MEDIA_TYPE_UNSUPPORTED": ProblemKind(415, "The request's content type is not supported"),
    "PAGE_TOKEN_INVALID": ProblemKind(400, "The page token is not one of this list"),
    "NOT_FOUND": ProblemKind(404, "Not found"),
    "METHOD_NOT_ALLOWED": ProblemKind(405, "The route does not take this method"),
    "DOCUMENT_NOT_FAILED": ProblemKind(409, "Only a failed or cancelled document can be retried"),
    "DOCUMENT_NOT_ENDED": ProblemKind(409, "The document is still being processed"),
    "DUPLICATE": ProblemKind(409, "The document is here already"),
    "DIGEST_INVALID": ProblemKind(400, "A digest can't be read"),
    "DIGEST_MISMATCH": ProblemKind(400, "The digest does not hold"),
    "IDEMPOTENCY_KEY_INVALID": ProblemKind(400, "The Idempotency-Key can't be used"),
    "IDEMPOTENCY_KEY_IN_USE": ProblemKind(409, "The first request with this key still runs"),
    "IDEMPOTENCY_KEY_REUSED": ProblemKind(422, "The Idempotency-Key was used for something else"),
    "TUS_VERSION_UNSUPPORTED": ProblemKind(412, "This version of tus is not spoken here"),
    "UPLOAD_HEADER_INVALID": ProblemKind(400, "A header of the upload can't be used"),
    "UPLOAD_OFFSET_WRONG": ProblemKind(409, "The upload is at another offset"),
    "UPLOAD_TAKEN_OVER": ProblemKind(409, "A newer request goes on with the upload"),
    "UPLOAD_EXPIRED": ProblemKind(410, "The upload was left alone for too long"),
    "UPLOAD_TOO_LONG": ProblemKind(413, "More bytes than the upload's length"),
    "UPLOAD_CHECKSUM_MISMATCH": ProblemKind(460, "The checksum does not hold"),
    "UPLOAD_DUPLICATE": ProblemKind(422, "The document is here already"),
    "UPLOAD_LOCKED": ProblemKind(423, "The upload can't go on at this moment"),
    "QUOTA_EXCEEDED": ProblemKind(507, "Your documents fill the room that is yours"),
    "WEBHOOK_URL_REFUSED": ProblemKind(422, "A webhook can't lead there"),
    "WEBHOOK_DISABLED": ProblemKind(409, "The webhook is disabled"),
    "TOO_MANY_WEBHOOKS": ProblemKind(409, "Too many webhooks"),
    "WORKER_UNKNOWN": ProblemKind(404, "There is no such worker"),
    "OPERATOR_REQUIRED": ProblemKind(403, "Only an operator may do that"),
    "TICK_FAILED": ProblemKind(500, "The slice of work ended early"),
    "NOT_AUTHENTICATED": ProblemKind(401, "Show who you are"),
    "SCOPE_MISSING": ProblemKind(403, "Your key is not good for this"),
    "TOO_MANY_REQUESTS": ProblemKind(429, "Too many requests"),
    "TOO_MANY_UPLOADS": ProblemKind(429, "Too many uploads at once"),
    "BODY_TOO_LARGE": ProblemKind(413, "The request's body is too large"),
    "HOST_REFUSED": ProblemKind(421, "The request's Host is not this server"),
    "ORIGIN_REFUSED": ProblemKind(403, "Requests from other web pages are refused"),
    "HEADERS_STALLED": ProblemKind(408, "The request's headers stopped coming"),
    "HEADERS_TOO_LARGE": ProblemKind(431, "The request's headers are too large"),
    "UPLOAD_STALLED": ProblemKind(408, "The upload stopped sending"),
    "RANGE_INVALID": ProblemKind(416, "The byte range lies outside the file"),
    "STORAGE_FULL": ProblemKind(507, "The database has no room left"),
    "DATABASE_UNAVAILABLE": ProblemKind(503, "The database can't be reached"),
    "EMBEDDER_UNAVAILABLE": ProblemKind(503, "The embedder can't be reached"),
    "INTERNAL": ProblemKind(500, "docmill made a mistake"),
}


@dataclass(frozen=True, slots=True)
class FailureKind:
    """A failure of work: its title, what a person can do, and whether trying again may help.

    `outage`: what failed is not the document, and would fail for any: `embedder` or `storage`.
    Documents wait for its end without using up their attempts. `of_file`: most likely the file is
    to blame, and will fail again; it is tried once more, in a fresh parser on what may be a less
    busy machine, and further only as long as each try gets on.
    """

    title: str
    remedy: str
    retryable: bool
    outage: Literal["embedder", "storage"] | None = None
    of_file: bool = False


FAILURES = {
    "FILE_UNREADABLE": FailureKind(
        "The file can't be read",
        "It is damaged or not what its content claims. Open it, save it again and upload that.",
        retryable=False,
    ),
    "FILE_ENCRYPTED": FailureKind(
        "The file is password-protected",
        "Remove the password and upload it again.",
        retryable=False,
    ),
    "TYPE_UNSUPPORTED": FailureKind(
        "This type of file is not supported",
        "Convert it to PDF, an office format, HTML or text and upload that.",
        retryable=False,
    ),
    "ARCHIVE_REFUSED": FailureKind(
        "The file unpacks to more than is allowed",
        "It looks like a decompression bomb. Save it again with its own program, or split it.",
        retryable=False,
    ),
    "OUTPUT_TOO_LARGE": FailureKind(
        "The file holds more text than is allowed",
        "Split it into smaller files and upload those.",
        retryable=False,
    ),
    "PARSER_DIED": FailureKind(
        "The parser crashed on this file",
        "Save the file again with another program, or convert it to PDF.",
        retryable=True,
        of_file=True,
    ),
    "PARSER_OUT_OF_MEMORY": FailureKind(
        "The parser needed more memory than is allowed",
        "Split the file, or raise DOCMILL_PARSE_MEMORY_BYTES.",
        retryable=True,
        of_file=True,
    ),
    "PARSER_TIMEOUT": FailureKind(
        "The parser took longer than is allowed",
        "Split the file, or raise DOCMILL_PARSE_SECONDS.",
        retryable=True,
        of_file=True,
    ),
    "PARSER_STALLED": FailureKind(
        "The parser stopped making progress",
        "Save the file again with another program, or raise DOCMILL_PARSE_STALL_SECONDS.",
        retryable=True,
        of_file=True,
    ),
    "EMBEDDER_UNAVAILABLE": FailureKind(
        "The embedder can't be reached",
        "Nothing is lost; it is tried again. If it lasts, look at `docmill doctor`.",
        retryable=True,
        outage="embedder",
    ),
    "EMBEDDER_NOT_ALLOWED": FailureKind(
        "The embedder does not accept docmill's address, key or model",
        "Check DOCMILL_EMBED_URL, _API_KEY and _MODEL. Documents wait, and go on by themselves.",
        retryable=True,
        outage="embedder",
    ),
    "EMBEDDER_REFUSED": FailureKind(
        "The embedder refused this document's text",
        "Look at what it says; if it can be mended, retry the document.",
        retryable=False,
    ),
    "EMBEDDER_BAD_ANSWER": FailureKind(
        "The embedder gave an unusable answer",
        "It is tried again. If it lasts, check the model and its dimensions.",
        retryable=True,
        outage="embedder",
    ),
    "STORAGE_FULL": FailureKind(
        "There is no room left",
        "Make room on the disk that is full, mostly the database's; it is tried again.",
        retryable=True,
        outage="storage",
    ),
    "WORKER_LOST": FailureKind(
        "Every worker on this document was lost",
        "It may be the document that ends them. If other documents go through, convert this one.",
        retryable=False,
    ),
    "LEASE_EXPIRED": FailureKind(
        "The worker on this document was lost",
        "Nothing to do: another worker takes over.",
        retryable=True,
    ),
    "CANCELLED": FailureKind(
        "Cancelled by request",
        "Retry the document to go on where it stopped.",
        retryable=False,
    ),
    "INTERNAL": FailureKind(
        "docmill made a mistake",
        "It is tried again. If it lasts, please report it with the document's id.",
        retryable=True,
    ),
}

WARNINGS = {
    "NO_TEXT": "Nothing to search was found in this file.",
    "PAGE_WITHOUT_TEXT": "A page has no text; if it is a scan, it needs OCR, which docmill lacks.",
    "ENCODING_GUESSED": "The text's encoding was guessed.",
    "TYPE_CORRECTED": "The file's content is of another type than its name says.",
    "CONTENT_REPLACED": "Some characters could not be read and were replaced.",
    "PARTS_SKIPPED": "A part of this file could not be read and was left out.",
}


class Problem(Exception):
    """A request is refused. Nothing of it was stored.

    `detail` says what was got and what is taken; `members` are added to the problem's JSON
    (for example `max_size`); `retry_after` is in seconds.
    """

    def __init__(
        self, code: str, detail: str, *, retry_after: int | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.kind = PROBLEMS[code]
        self.detail = detail
        self.retry_after = retry_after
        self.members = members


class Failure(Exception):
    """Work on a document failed. What follows from it is decided in `retry`.

    `detail` is a sentence about this case; without one the table's remedy stands alone.
    `retry_after` (seconds) is what a busy service asked for.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.kind = FAILURES[code]
        self.said = detail
        self.detail = f"{detail} {self.kind.remedy}".strip()
        self.retryable = self.kind.retryable if retryable is None else retryable
        self.retry_after = retry_after


class Stopped(Exception):
    """The work was asked to stop: its lease was lost, it was cancelled, or the worker drains."""


class LeaseLost(Stopped):
    """The job was taken over, cancelled or deleted meanwhile. What was made of it is dropped."""


class SettingError(Exception):
    """A setting is wrong. The message names it, what it got and what it takes."""


class Unavailable(Exception):
    """docmill can't start or go on here. The message says what is missing and how to mend it."""
