"""What can go wrong for a client of docmill, each as a type of its own."""

from collections.abc import Mapping
from typing import Any

from docmill.client_types import Status


class DocmillError(Exception):
    """Whatever goes wrong between a client and docmill."""


class Unreachable(DocmillError):
    """Nothing answers, or what answers is in trouble, for longer than the client was to wait.

    `uploaded` is how many bytes of a file are there already: the same upload goes on from them.
    """

    def __init__(self, detail: str, uploaded: int = 0) -> None:
        super().__init__(detail)
        self.uploaded = uploaded


class Refused(DocmillError):
    """The server refused a request. `code` is stable, the message is a sentence for people.

    `members` are what else the problem says, such as `max_size` or `document_id`.
    """

    def __init__(self, status: int, code: str, detail: str, members: Mapping[str, Any]) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.members = dict(members)


class NotAllowed(Refused):
    """The key is missing, unknown or not good for this (401, 403)."""


class NotFound(Refused):
    """There is no such thing, or it is somebody else's (404, 410)."""


class Conflict(Refused):
    """It is not in a state for this, or here already (409)."""


class TooLarge(Refused):
    """More bytes than are taken, or than there is room for (413, 507)."""


class Invalid(Refused):
    """A value is not what is taken (400, 415, 422)."""


class DocumentFailed(DocmillError):
    """A document ended, but not as completed. `status` is its last status."""

    def __init__(self, status: Status) -> None:
        error = status["error"] or {}
        super().__init__(error.get("detail") or f"The document is {status['status']}.")
        self.status = status
        self.code: str | None = error.get("code")


KINDS: dict[int, type[Refused]] = {
    400: Invalid, 401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict, 410: NotFound,
    413: TooLarge, 415: Invalid, 422: Invalid, 507: TooLarge,
}  # fmt: skip


def refusal(status: int, body: Mapping[str, Any]) -> Refused:
    """The typed error of a problem."""
    known = {"type", "title", "status", "detail", "instance", "code"}
    members = {name: value for name, value in body.items() if name not in known}
    kind = KINDS.get(status, Refused)
    return kind(status, str(body["code"]), str(body["detail"]), members)
