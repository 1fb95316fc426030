"""What `/openapi.json` says beyond what the routes' types say: refusals, and who may ask.

A route names its own refusals; those of the edge, which every request may meet, are added here.
"""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

from docmill.errors import PROBLEMS
from docmill.identity import SAFE_METHODS, scope_needed
from docmill.web import problems

Responses = dict[int | str, dict[str, Any]]

OF_EVERY_REQUEST = (
    *("BAD_REQUEST", "UPLOAD_CUT_OFF", "UPLOAD_STALLED", "BODY_TOO_LARGE", "HOST_REFUSED"),
    *("FIELD_INVALID", "INTERNAL", "DATABASE_UNAVAILABLE"),
)
OF_CHANGES = ("ORIGIN_REFUSED",)
OF_GUARDED_PATHS = ("NOT_AUTHENTICATED", "SCOPE_MISSING", "TOO_MANY_REQUESTS")
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "A refusal (RFC 9457); some have further members.",
    "required": ["type", "title", "status", "detail", "instance", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "a sentence for people"},
        "instance": {"type": "string"},
        "code": {"type": "string", "enum": list(PROBLEMS)},
    },
}
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key or a token"},
    "session": {"type": "apiKey", "in": "cookie", "name": "docmill_session"},
}
# What FastAPI says about 422 of its own accord, and docmill does not answer.
NOT_OURS = frozenset({"HTTPValidationError", "ValidationError"})


def shaped(shape: Any, status: int = 200, said: str = "") -> Responses:
    """An answer that is JSON of this shape."""
    return {status: {"model": shape, **({"description": said} if said else {})}}


def links(**operations: str) -> dict[str, Any]:
    """Links from an answer with a `document_id` to operations on that document."""
    given = {"parameters": {"document_id": "$response.body#/document_id"}}
    return {name: {"operationId": operation, **given} for name, operation in operations.items()}


def refusals(*codes: str) -> Responses:
    """The refusals with these codes, by status."""
    by_status: Responses = {}
    for code in codes:
        kind = PROBLEMS[code]
        line = f"`{code}`: {kind.title}"
        shown = by_status.setdefault(kind.status, {"description": "", "content": _content()})
        shown["description"] = "\n".join(filter(None, [shown["description"], line]))
    return by_status


def _content() -> dict[str, Any]:
    return {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


class DescribedApp(FastAPI):
    """An application that describes itself whole; `is_open`: anybody may ask for anything."""

    def __init__(self, *, is_open: bool, **about: Any) -> None:
        super().__init__(**about)
        self._security = {} if is_open else SECURITY

    def openapi(self) -> dict[str, Any]:
        """The description; made once."""
        if self.openapi_schema is None:
            described = super().openapi()
            for path, verbs in described["paths"].items():
                for verb, operation in verbs.items():
                    _complete(operation, verb.upper(), path, list(self._security))
            parts = described.setdefault("components", {})
            schemas = parts.setdefault("schemas", {})
            for name in NOT_OURS:
                schemas.pop(name, None)
            schemas["Problem"] = PROBLEM_SCHEMA
            parts["securitySchemes"] = self._security
        return super().openapi()


def _complete(operation: dict[str, Any], method: str, path: str, keys: list[str]) -> None:
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]
    guarded = bool(keys) and scope_needed(method, path) is not None
    operation["security"] = [{name: []} for name in keys] if guarded else []
    _add(responses, OF_EVERY_REQUEST)
    _add(responses, OF_GUARDED_PATHS if guarded else ())
    _add(responses, () if method in SAFE_METHODS else OF_CHANGES)


def _add(responses: dict[str, Any], codes: Iterable[str]) -> None:
    """Add refusals to those that a route has named."""
    for status, added in refusals(*codes).items():
        named = responses.setdefault(str(status), added)
        if named is not added:
            named["description"] = "\n".join([named["description"], added["description"]])
            named.setdefault("content", {}).update(added["content"])
