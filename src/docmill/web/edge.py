"""What a request must be before it reaches a route: meant for this server, by somebody who may.

All of it is decided by the headers, before a byte of the body is read. A web page elsewhere could
reach docmill through its visitor's browser: by a name that resolves to this machine (DNS
rebinding), or by posting across origins with the visitor's cookie. So without authentication the
Host must be ours, and a request that changes something must not come from another page.
"""

import math
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from docmill import logs
from docmill.config import Settings
from docmill.errors import Problem
from docmill.identity import SAFE_METHODS, Identity, carries_file, scope_needed
from docmill.rate_limit import AtOnce, RateLimit
from docmill.web import problems, small_body
from docmill.web.authentication import Authenticator, session_of
from docmill.web.body import Body

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
# Balancers and orchestrators know an address and no name, and learn nothing here.
PROBES = frozenset({"/healthz", "/readyz"})
TUS_METHODS = frozenset({"PATCH", "DELETE", "HEAD"})


class Edge:
    """ASGI middleware: refuses, or tells the routes who asks."""

    def __init__(self, app: ASGIApp, settings: Settings, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator
        self._is_open = settings.is_open
        self._hosts = frozenset(settings.allowed_hosts)
        self._origins = frozenset(settings.allowed_origins)
        if self._is_open:
            self._hosts |= LOCAL_HOSTS
        rate = settings.requests_per_second
        self._rate = RateLimit(rate, max(1.0, 2 * rate)) if rate and not self._is_open else None
        self._idle_seconds = settings.upload_idle_seconds
        self._uploads = AtOnce(settings.uploads_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        override_method(scope)
        brings_file = carries_file(scope["method"], scope["path"])
        try:
            identity = await self._admit(scope)
            if not brings_file:
                receive = await small_body.read(scope, receive, self._idle_seconds)
        except Exception as error:  # noqa: BLE001 - every one is answered as a problem
            return await self._refuse(error, scope, receive, send)
        scope.setdefault("state", {})["identity"] = identity
        logs.note(owner_id=identity and identity.owner)
        if identity is None or not brings_file:
            return await self._app(scope, receive, send)
        with self._uploads.one_of(identity.owner) as has_room:
            if not has_room:
                return await self._refuse(too_many_uploads(), scope, receive, send)
            return await self._app(scope, receive, send)

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        # Read on first: whoever is still sending would not hear it.
        await Body(Request(scope, receive), self._idle_seconds).drain()
        response = problems.response(problems.from_exception(error))
        if has_two_lengths(Headers(scope=scope)):
            response.headers["Connection"] = "close"
        await response(scope, receive, send)

    async def _admit(self, scope: Scope) -> Identity | None:
        """Who asks; None where anybody may.

        Raises:
            Problem: the request is refused.
        """
        headers = Headers(scope=scope)
        if has_two_lengths(headers):
            raise Problem("BAD_REQUEST", "Send Content-Length or Transfer-Encoding, and not both.")
        if scope["path"] not in PROBES:
            self._refuse_other_hosts(headers)
        self._refuse_other_origins(scope["method"], headers)
        client = scope.get("client")
        address = client[0] if client else ""
        needed = scope_needed(scope["method"], scope["path"])
        if needed is None:
            if scope["method"] not in SAFE_METHODS:
                self._refuse_too_many(f"address {address}")  # keys can be guessed here, too
            return None
        try:
            identity = await self._authenticator.identify(headers, address)
        except Problem:
            self._refuse_too_many(f"address {address}")
            raise
        self._refuse_too_many(identity.name)
        if needed not in identity.scopes:
            raise Problem("SCOPE_MISSING", f"This takes the scope `{needed}`, which you lack.")
        return identity

    def _refuse_too_many(self, who: str) -> None:
        if self._rate and (wait := self._rate.wait_seconds(who)):
            seconds = math.ceil(wait)
            raise Problem(
                "TOO_MANY_REQUESTS",
                f"Ask again in {seconds} seconds, and less often.",
                retry_after=seconds,
            )

    def _refuse_other_hosts(self, headers: Headers) -> None:
        if self._hosts and host_name(headers.get("host", "")) not in self._hosts:
            raise Problem(
                "HOST_REFUSED",
                "This server does not go by that name. Add the name to DOCMILL_ALLOWED_HOSTS, or"
                " use http://127.0.0.1 on the machine itself.",
            )

    def _refuse_other_origins(self, method: str, headers: Headers) -> None:
        if method in SAFE_METHODS:
            return
        origin = headers.get("origin")
        if origin is None:
            # Programs send none, and no cookie either. Browsers send both.
            if not self._is_open and session_of(headers) and "authorization" not in headers:
                raise other_origin()
        elif urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            # A page that is let in shows who asks: a cookie would be its visitor's, not its own.
            shown = self._is_open or "authorization" in headers
            if origin.lower() not in self._origins or not shown:
                raise other_origin()


def has_two_lengths(headers: Headers) -> bool:
    """Whether a proxy before us may see the body's end elsewhere, and what follows as a request."""
    return "content-length" in headers and "transfer-encoding" in headers


def too_many_uploads() -> Problem:
    """The refusal of one more upload of an owner who has many on their way."""
    return Problem(
        "TOO_MANY_UPLOADS",
        "Too many of your uploads are on their way at once. Send it when another has ended.",
        retry_after=1,
    )


def other_origin() -> Problem:
    """The refusal of what another web page asks in a visitor's name."""
    return Problem(
        "ORIGIN_REFUSED",
        "Only this server's own page may do that, and those in DOCMILL_ALLOWED_ORIGINS with a key"
        " or token.",
    )


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
