"""Errors as answers: every refusal is problem+json (RFC 9457) with a stable code."""

import logging
from collections.abc import Sequence
from uuid import uuid4

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.status import HTTP_405_METHOD_NOT_ALLOWED
from starlette.types import Scope

from docmill import measures
from docmill.errors import PROBLEMS, Failure, Problem

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
CODE_BY_STATUS = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE"}
HOW_TO_AUTHENTICATE = {"NOT_AUTHENTICATED": {"WWW-Authenticate": 'Bearer realm="docmill"'}}
AWAY_SECONDS = 2


def response(problem: Problem) -> JSONResponse:
    """The answer that a problem is."""
    measures.PROBLEMS.labels(problem.code).inc()
    slug = problem.code.lower().replace("_", "-")
    body = {
        "type": f"urn:docmill:error:{slug}",
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "instance": f"urn:uuid:{uuid4()}",
        "code": problem.code,
        **problem.members,
    }
    headers = {"Cache-Control": "no-store", **HOW_TO_AUTHENTICATE.get(problem.code, {})}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return JSONResponse(body, problem.kind.status, headers, MEDIA_TYPE)


def from_exception(error: Exception) -> Problem:  # noqa: PLR0911 - a table of exceptions
    """Which problem an exception is to whoever asked."""
    match error:
        case Problem():
            return error
        case Failure():
            return Problem("EMBEDDER_UNAVAILABLE", error.detail, retry_after=AWAY_SECONDS)
        case psycopg.errors.DiskFull():
            return Problem("STORAGE_FULL", "The database has no room for this. Nothing was kept.")
        case psycopg.OperationalError() | PoolTimeout():
            return Problem(
                "DATABASE_UNAVAILABLE",
                "The database can't be reached at the moment. Try again shortly.",
                retry_after=AWAY_SECONDS,
            )
        case RequestValidationError():
            fields = [
                {"field": ".".join(map(str, item["loc"][1:])), "detail": item["msg"]}
                for item in error.errors()
            ]
            sentences = "; ".join(f"{item['field']}: {item['detail']}" for item in fields)
            return Problem("FIELD_INVALID", f"{sentences}.", errors=fields)
        case HTTPException():
            code = CODE_BY_STATUS.get(error.status_code, "BAD_REQUEST")
            return Problem(code, PROBLEMS[code].title + ".")
        case _:
            log.error("a request failed", exc_info=error)
            return Problem("INTERNAL", "It was written to the server's log. Try again.")


def _methods(routes: Sequence[BaseRoute], scope: Scope) -> set[str]:
    """What may be asked of a path, by all routes that have it."""
    return {
        method
        for route in routes
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Answer every exception of an app that has these routes with a problem."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        answered = response(from_exception(error))
        if answered.status_code == HTTP_405_METHOD_NOT_ALLOWED:
            answered.headers["Allow"] = ", ".join(sorted(_methods(routes, request.scope)))
        return answered

    for kind in (
        Problem,
        Failure,
        psycopg.Error,
        PoolTimeout,
        RequestValidationError,
        HTTPException,
        Exception,
    ):
        app.add_exception_handler(kind, answer)
