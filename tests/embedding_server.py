"""A real OpenAI-compatible endpoint with moods: it answers well, or in one of many bad ways."""

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import numpy as np

DIMENSIONS = 8
HANGS_SECONDS = 3.0


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector that depends on the text alone."""
    numbers = hashlib.shake_256(text.encode()).digest(dimensions)
    return [number / 255 + 0.01 for number in numbers]


def answer(texts: list[str], dimensions: int = DIMENSIONS) -> dict[str, Any]:
    """A good answer."""

    def packed(text: str) -> str:
        return base64.b64encode(np.array(vector(text, dimensions), "<f4").tobytes()).decode()

    data = [
        {"object": "embedding", "index": n, "embedding": packed(t)} for n, t in enumerate(texts)
    ]
    return {"object": "list", "model": "m", "data": data, "usage": {}}


Answer = tuple[int, dict[str, str], bytes]


def well(texts: list[str]) -> Answer:
    return 200, {}, json.dumps(answer(texts)).encode()


def hanging(texts: list[str]) -> Answer:
    time.sleep(HANGS_SECONDS)
    return well(texts)


def not_a_number(texts: list[str]) -> Answer:
    body = answer(texts)
    body["data"][0]["embedding"] = [float("nan")] * DIMENSIONS
    return 200, {}, json.dumps(body).encode()


def half(texts: list[str]) -> Answer:
    body = answer(texts)
    body["data"] = body["data"][: len(texts) // 2]
    return 200, {}, json.dumps(body).encode()


MOODS: dict[str, Callable[[list[str]], Answer]] = {
    "hangs": hanging,
    "busy": lambda _: (429, {"Retry-After": "6"}, b'{"error": "slow down"}'),
    "fails": lambda _: (500, {}, b"oops"),
    "wrong dimensions": lambda texts: (200, {}, json.dumps(answer(texts, 4)).encode()),
    "not a number": not_a_number,
    "truncated": lambda texts: (200, {}, well(texts)[2][:-20]),
    "half an answer": half,
    "wrong key": lambda _: (401, {}, b'{"error": "invalid api key"}'),
}


class EmbeddingServer:
    """Serves on a port of its own; `mood` may change at any time. Counts what it was asked.

    `settings` are those of a docmill that uses it.
    """

    def __init__(self) -> None:
        self.mood: Callable[[list[str]], Answer] = well
        self.calls = 0
        self.texts: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self.settings = {
            "DOCMILL_EMBEDDER": "openai",
            "DOCMILL_EMBED_URL": self.url,
            "DOCMILL_EMBED_MODEL": "m",
            "DOCMILL_EMBED_API_KEY": "secret",
            "DOCMILL_EMBED_DIMENSIONS": str(DIMENSIONS),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.calls += 1
                status, headers, body = server.mood(question["input"])
                if server.mood is well:
                    server.texts.update(question["input"])
                    server.keys[self.headers["Idempotency-Key"]] += 1
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    return  # the client gave up waiting

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
