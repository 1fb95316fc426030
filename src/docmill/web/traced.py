"""Says with every line that is logged for a request which trace it belongs to, and who asked.

A request that changes something is a span of its trace; what it begins goes on below that.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from docmill import logs, tracing
from docmill.identity import SAFE_METHODS
from docmill.web.measured import Answer, method_of, route_of

log = logging.getLogger(__name__)

OUR_FAULT = 500


class Traced:
    """ASGI middleware. A request that only reads belongs to no trace, unless it names one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on in its trace."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = Answer(send)
        began = time.perf_counter()
        with _trace_of(scope) as span:
            try:
                await self._app(scope, receive, answer.send)
            finally:
                took = time.perf_counter() - began
                log.debug(
                    "%s %s: %s in %.3f s", scope["method"], route_of(scope), answer.status, took
                )
                if span is not None:
                    _tell(span, scope, answer.status)


@contextmanager
def _trace_of(scope: Scope) -> Iterator[Span | None]:
    """Its trace, around the request; its span, where it is one."""
    named = tracing.stated(Headers(scope=scope).getlist(tracing.HEADER))
    if scope["method"] in SAFE_METHODS:
        with _within(named):
            yield None
        return
    if not tracing.is_recorded():
        with _within(named or tracing.begun()):
            yield None
        return
    # A sampler may leave it out: then the span is the trace that it is given.
    with (
        tracing.span(method_of(scope), SpanKind.SERVER, named or context.Context()) as span,
        _within(None if span.get_span_context().is_valid else tracing.begun()),
    ):
        yield span


@contextmanager
def _within(where: context.Context | None) -> Iterator[None]:
    if where is None:
        with logs.about(trace_id=tracing.here()):
            yield
        return
    token = context.attach(where)
    try:
        with logs.about(trace_id=tracing.here()):
            yield
    finally:
        context.detach(token)


def _tell(span: Span, scope: Scope, status: int) -> None:
    """By OpenTelemetry's names for requests."""
    method, route = method_of(scope), route_of(scope)
    span.update_name(f"{method} {route}")
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= OUR_FAULT:
        span.set_status(Status(StatusCode.ERROR))
