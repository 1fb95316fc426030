"""The connections below the requests: none waits for ever, and newcomers find room.

uvicorn gives a connection any time to send a request's head. Here a head has to be complete some
seconds after it could begin, and when there are as many connections as there may be, the one that
has waited the longest for its head makes room. So thousands of idle or dribbling connections shut
nobody out.
"""

import asyncio
import resource
import socket
import sys
import time
from http import HTTPStatus
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from docmill.errors import Problem
from docmill.web import problems

MOST_HEAD_SECONDS = 20.0
# Of the request line and all headers; Upload-Metadata alone may have the most of it.
HEAD_BYTES = 96 << 10
# So many are accepted before the first of them is looked at.
ACCEPTED_AT_ONCE = 128
# Files that are no connections yet, or none: the database's, the log, worker processes.
OTHER_FILES = ACCEPTED_AT_ONCE + 64
MOST_CONNECTIONS = 10_000
FEWEST_CONNECTIONS = 32


class Wire(H11Protocol):
    """One connection."""

    most_connections = MOST_CONNECTIONS
    head_seconds = MOST_HEAD_SECONDS
    _head_ends: asyncio.TimerHandle | None = None
    waits_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head; make room if there is none."""
        super().connection_made(transport)
        _send_at_once(transport)
        self._await_head()
        if len(self.connections) > self.most_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take some bytes; a head that they began has to end in time."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._head_ends is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP as everything else is refused; the parser's error is at hand."""
        hint = getattr(sys.exc_info()[1], "error_status_hint", None)
        if hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            self._refuse(
                Problem("HEADERS_TOO_LARGE", f"The headers have more than {HEAD_BYTES:,} bytes.")
            )
        else:
            self._refuse(Problem("BAD_REQUEST", msg))

    def _await_head(self) -> None:
        self.waits_since = time.monotonic()
        self._head_ends = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_ends is not None:
            self._head_ends.cancel()
            self._head_ends = None

    def _give_up(self) -> None:
        self._refuse(
            Problem(
                "HEADERS_STALLED",
                f"The request's headers were not complete after {self.head_seconds:g} seconds.",
            )
        )

    def _make_room(self) -> None:
        others = [cast("Wire", other) for other in self.connections if other is not self]
        waiting = [other for other in others if other.conn.their_state is h11.IDLE]
        if waiting:
            min(waiting, key=lambda other: other.waits_since).transport.abort()
        else:
            self.transport.abort()

    def _refuse(self, problem: Problem) -> None:
        """Answer, unless an answer is on its way already, and close."""
        self._stop_waiting()
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE} and not self.transport.is_closing():
            answer = problems.response(problem)
            head = h11.Response(
                status_code=answer.status_code,
                headers=[*answer.raw_headers, (b"connection", b"close")],
                reason=b"",
            )
            events = (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage())
            # In one piece: what a client still sends may end the connection between two.
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()


def _send_at_once(transport: asyncio.Transport) -> None:
    """Let no small answer wait for the client to confirm what was sent before it.

    asyncio does so by itself, but not for the connections of a listener that was made by
    `socket.create_server`: they do not say that they are TCP. An answer's body then came 40 ms
    behind its head, on every connection that was used again.
    """
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def wire(head_seconds: float) -> type[Wire]:
    """The connections of a server that gives heads so many seconds, or less."""
    limits = {
        "head_seconds": min(MOST_HEAD_SECONDS, head_seconds),
        "most_connections": _room_for_connections(),
    }
    return type("LimitedWire", (Wire,), limits)


def _room_for_connections() -> int:
    """How many connections fit in the files that a process may open; it takes what it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return min(MOST_CONNECTIONS, max(FEWEST_CONNECTIONS, files - OTHER_FILES))
