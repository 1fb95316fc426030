"""What a request must be before it reaches a route: meant for this server, sent by its own page.

docmill without authentication listens on this machine only. A web page elsewhere could still reach
it through the visitor's browser: by a name that resolves to 127.0.0.1 (DNS rebinding), or by
posting across origins. So the Host must be ours, and a request that changes something must not come
from another page.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from docmill.errors import Problem
from docmill.web import problems

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
TUS_METHODS = frozenset({"PATCH", "DELETE", "HEAD"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Edge:
    """ASGI middleware: refuses before a byte of the body is read, and sets headers for all."""

    def __init__(self, app: ASGIApp, allowed_hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = LOCAL_HOSTS | set(allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] == "http":
            override_method(scope)
        if scope["type"] == "http" and (problem := self._refusal(scope)):
            await problems.response(problem)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if host_name(headers.get("host", "")) not in self._hosts:
            return Problem(
                "HOST_REFUSED",
                "This server does not go by that name. Use http://127.0.0.1, or add the name to"
                " DOCMILL_ALLOWED_HOSTS.",
            )
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in SAFE_METHODS:
            return self._origin_refusal(origin, headers.get("host", ""))
        return None

    def _origin_refusal(self, origin: str, host: str) -> Problem | None:
        if urlsplit(origin).netloc.lower() == host.lower():
            return None
        return Problem("ORIGIN_REFUSED", "Only this server's own page may do that.")


def override_method(scope: Scope) -> None:
    """Let a POST to `/uploads` be what its X-HTTP-Method-Override says, as tus demands.

    Some environments of clients know no PATCH and no DELETE.
    """
    if scope["method"] == "POST" and scope["path"].startswith("/uploads/"):
        method = Headers(scope=scope).get("x-http-method-override", "").upper()
        if method in TUS_METHODS:
            scope["method"] = method


def host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    name, separator, port = host.lower().rpartition(":")
    return name if separator and (port.isdecimal() or not port) else host.lower()
