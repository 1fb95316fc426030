"""The bodies of requests that bring no file: read whole before the route, within size and time.

So a route that takes JSON can't be made to fill the memory, nor to wait for ever, and both are said
in the same words as every other refusal.
"""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from docmill.errors import Problem
from docmill.web.body import Body, CutOff, refusal

MOST_BYTES = 1 << 20


async def read(scope: Scope, receive: Receive, idle_seconds: float) -> Receive:
    """Take the body, if there is one; the route receives it from what is returned.

    Raises:
        Problem: BODY_TOO_LARGE, UPLOAD_STALLED, UPLOAD_CUT_OFF.
    """
    headers = Headers(scope=scope)
    if "content-length" not in headers and "transfer-encoding" not in headers:
        return receive
    if int(headers.get("content-length", "0")) > MOST_BYTES:
        raise _too_large()
    content = bytearray()
    try:
        async for chunk in Body(Request(scope, receive), idle_seconds).chunks():
            content += chunk
            if len(content) > MOST_BYTES:
                raise _too_large()
    except CutOff as error:
        raise refusal(error) from error
    return _given(bytes(content), receive)


def _given(content: bytes, receive: Receive) -> Receive:
    """Give this as the body, and then what else the server has to say."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def received() -> Message:
        return messages.pop() if messages else await receive()

    return received


def _too_large() -> Problem:
    return Problem(
        "BODY_TOO_LARGE",
        f"A request that brings no file may have {MOST_BYTES} bytes; send it in pieces.",
        max_size=MOST_BYTES,
    )
