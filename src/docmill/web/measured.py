"""Counts requests, their time and what is uploaded, around everything that may answer them."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from docmill.identity import carries_file
from docmill.measures import HTTP_IN_PROGRESS, HTTP_REQUESTS, HTTP_SECONDS, UPLOAD_BYTES

# What is counted by its name; clients may make up others, without end.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# As nginx has it: nobody waits for the answer any more.
CLIENT_GONE = 499


class Answer:
    """An answer on its way to the client: `send` passes it on, `status` is what it says."""

    def __init__(self, send: Send) -> None:
        self.status = CLIENT_GONE
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class Measured:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count it at its end."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = Answer(send)
        began = time.perf_counter()

        async def received() -> Message:
            message = await receive()
            # Asked only now: the edge may have put another method in the place of the request's.
            if carries_file(scope["method"], scope["path"]):
                UPLOAD_BYTES.inc(len(message.get("body", b"")))
            return message

        HTTP_IN_PROGRESS.inc()
        try:
            await self._app(scope, received, answer.send)
        finally:
            HTTP_IN_PROGRESS.dec()
            method, route = method_of(scope), route_of(scope)
            HTTP_REQUESTS.labels(method, route, str(answer.status)).inc()
            HTTP_SECONDS.labels(method, route).observe(time.perf_counter() - began)


def method_of(scope: Scope) -> str:
    """The request's method, or `other`."""
    return scope["method"] if scope["method"] in METHODS else "other"


def route_of(scope: Scope) -> str:
    """The route's path, once it was found, with its parameters' names and not their values."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))
