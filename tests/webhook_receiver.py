"""A real endpoint of webhooks with moods: it takes what it is sent, or in one of many ways not."""

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook

from running import until

Mood = Callable[[BaseHTTPRequestHandler, threading.Event], None]


def answers(status: int, **headers: str) -> Mood:
    """Answer with a status and headers, and a short body."""

    def answer(handler: BaseHTTPRequestHandler, _: threading.Event) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    return answer


well = answers(200)


def hangs(_: BaseHTTPRequestHandler, released: threading.Event) -> None:
    """Say nothing until the receiver is let go on."""
    released.wait()


def trickles(handler: BaseHTTPRequestHandler, released: threading.Event) -> None:
    """Answer one byte at a time, and never come to an end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while not released.wait(0.1):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def hangs_in_its_body(handler: BaseHTTPRequestHandler, released: threading.Event) -> None:
    """Say that all is well, and never come to the end of the answer."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    released.wait()


def closes(_: BaseHTTPRequestHandler, __: threading.Event) -> None:
    """End the connection without an answer."""


def closes_in_the_middle(handler: BaseHTTPRequestHandler, _: threading.Event) -> None:
    """End the connection in the middle of the answer's head."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")


def no_http(handler: BaseHTTPRequestHandler, _: threading.Event) -> None:
    """Answer in another language."""
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n")


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as it came."""

    headers: dict[str, str]
    body: bytes
    path: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The event, if the reference library finds it signed by this secret."""
        event: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return event


class Receiver:
    """Serves on a port of its own; `mood` may change at any time. Keeps what it was sent."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.mood: Mood = well
        self.received: list[Received] = []
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if tls:
            # Handshakes in the handler's thread: one that fails must not end the server.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)
        self._thread.start()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def events(self) -> list[dict[str, Any]]:
        """What it was told, in the order in which that came."""
        return [json.loads(received.body) for received in list(self.received)]

    def told_of(self, document_id: str) -> list[Received]:
        """The requests about a document."""
        return [
            received
            for received in list(self.received)
            if json.loads(received.body)["data"].get("document_id") == document_id
        ]

    def hears_of(self, document_id: str, times: int = 1) -> Received:
        """The latest request about a document, as soon as there are so many."""
        what = f"{times} requests about {document_id}"
        until(lambda: len(self.told_of(document_id)) >= times or None, what)
        return self.told_of(document_id)[times - 1]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    return  # the client did not like the certificate, or left

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(headers, body, self.path))
                receiver.mood(self, receiver.released)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
