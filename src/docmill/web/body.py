"""A request's body as it comes in; a pause that is too long ends it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.types import Message

from docmill.errors import Problem

# A refusal in the middle of a body is only heard by a client that may finish sending first: a
# closed connection with unread bytes is reset, and the answer with it.
DRAINED_BYTES = 64 << 20
DRAINED_SECONDS = 5.0
# What the server says of a client that is there no longer.
GONE: Message = {"type": "http.disconnect"}


class CutOff(Exception):
    """The body ended before it should: the connection was lost, or nothing came for too long."""


class Body:
    """The bytes of one request. `leave`, once set, ends them as if the connection were lost."""

    def __init__(
        self, request: Request, idle_seconds: float, leave: asyncio.Event | None = None
    ) -> None:
        # Not its `stream`, a generator that nobody reads to its very end: the loop would wake
        # itself up, once per request, and begin a task only to close it.
        self._receive = request.receive
        self._idle_seconds = idle_seconds
        self._leave = leave
        self._ended = False
        self._expects_go_ahead = "expect" in request.headers
        self._began = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's bytes.

        Raises:
            Stalled, CutOff: it did not come to its end.
        """
        while not self._ended:
            if chunk := await self._next():
                yield chunk

    async def drain(self) -> None:
        """Read on and drop it, within bounds, so that the client hears the refusal."""
        if self._expects_go_ahead and not self._began:
            return  # it waits for our word before it sends, and now it gets the refusal instead
        self._leave = None
        left = DRAINED_BYTES
        with contextlib.suppress(CutOff, TimeoutError):
            async with asyncio.timeout(DRAINED_SECONDS):
                while not self._ended and left > 0:
                    left -= len(await self._next())

    async def _next(self) -> bytes:
        """Some more bytes; none, if just that was said."""
        self._began = True
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await self._message_or_leave()
        except TimeoutError as error:
            self._ended = True
            raise Stalled(self._idle_seconds) from error
        if message["type"] == GONE["type"]:
            self._ended = True
            raise CutOff
        self._ended = not message.get("more_body", False)
        content: bytes = message.get("body", b"")
        return content

    async def _message_or_leave(self) -> Message:
        if self._leave is None:
            return await self._receive()
        coming = asyncio.ensure_future(self._receive())
        leaving = asyncio.ensure_future(self._leave.wait())
        try:
            await asyncio.wait([coming, leaving], return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else GONE
        finally:
            coming.cancel()
            leaving.cancel()


class Stalled(CutOff):
    """Nothing came for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Nothing came for {seconds:g} seconds.")


def refusal(error: CutOff) -> Problem:
    """What a request that kept nothing of its body is answered, if anybody still listens."""
    if isinstance(error, Stalled):
        return Problem("UPLOAD_STALLED", f"{error} Nothing was stored; send it again.")
    return Problem("UPLOAD_CUT_OFF", "The connection ended before the upload.")
