"""`/session`: a browser shows a key once, and has a cookie from then on that no script can read."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from docmill.errors import Problem
from docmill.identity import Identity
from docmill.web.authentication import COOKIE, SESSION_SECONDS
from docmill.web.description import refusals, shaped
from docmill.web.service import TheService
from docmill.web.shapes import Session

router = APIRouter()

NO_STORE = {"Cache-Control": "no-store"}
Credential = Annotated[str, StringConstraints(min_length=1, max_length=8192)]


class Shown(BaseModel):
    """A key, or a token of the identity provider."""

    model_config = ConfigDict(extra="forbid")

    key: Credential


@router.get("/session", responses=shaped(Session))
async def who_asks(request: Request, service: TheService) -> JSONResponse:
    """Who asks, as far as it is known, and how one may show who one is."""
    authenticator = service.authenticator
    try:
        client = request.client
        identity = await authenticator.identify(request.headers, client.host if client else "")
    except Problem as problem:
        if problem.code != "NOT_AUTHENTICATED":
            raise
        return _answer(None, authenticator.kinds)
    return _answer(identity, authenticator.kinds)


@router.post(
    "/session", responses=shaped(Session) | refusals("NOT_AUTHENTICATED", "TOO_MANY_REQUESTS")
)
async def open_session(shown: Shown, request: Request, service: TheService) -> JSONResponse:
    """Open a session by a key: the answer sets its cookie."""
    identity = await service.authenticator.show(shown.key)
    response = _answer(identity, service.authenticator.kinds)
    if not service.authenticator.is_open:
        token = await service.authenticator.open_session(identity)
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(SESSION_SECONDS),
            httponly=True,
            samesite="strict",
            secure=_is_encrypted(request),
        )
    return response


@router.delete("/session", status_code=204, responses=refusals("TOO_MANY_REQUESTS"))
async def close_session(request: Request, service: TheService) -> Response:
    """End the browser's session."""
    await service.authenticator.close_session(request.headers)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _answer(identity: Identity | None, kinds: tuple[str, ...]) -> JSONResponse:
    body = {
        "authenticated": identity is not None,
        "owner": str(identity.owner) if identity else None,
        "name": identity.name if identity else None,
        "scopes": sorted(identity.scopes) if identity else [],
        "ways": list(kinds),
    }
    return JSONResponse(body, headers=NO_STORE)


def _is_encrypted(request: Request) -> bool:
    """Whether the browser's own connection is; a proxy in front of us says so by a header."""
    return "https" in {request.url.scheme, request.headers.get("x-forwarded-proto", "")}
