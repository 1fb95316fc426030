"""Says with every line that is logged for a request which trace it belongs to, and who asked."""

import logging
import time

from opentelemetry import context
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from docmill import logs, tracing
from docmill.identity import SAFE_METHODS
from docmill.web.measured import CLIENT_GONE, route_of

log = logging.getLogger(__name__)


class Traced:
    """ASGI middleware. A request that only reads belongs to no trace, unless it names one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on in its trace."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        where = tracing.stated(Headers(scope=scope).getlist(tracing.HEADER))
        if where is None and scope["method"] not in SAFE_METHODS:
            where = tracing.begun()
        if where is None:
            with logs.about():
                return await self._answer(scope, receive, send)
        token = context.attach(where)
        try:
            with logs.about(trace_id=tracing.trace_id(tracing.traceparent())):
                return await self._answer(scope, receive, send)
        finally:
            context.detach(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = CLIENT_GONE
        began = time.perf_counter()

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            took = time.perf_counter() - began
            log.debug("%s %s: %s in %.3f s", scope["method"], route_of(scope), status, took)
