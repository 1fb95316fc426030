"""An OpenAI-compatible embedding service that takes its time, and so many calls at once."""

import asyncio
import base64
import hashlib
import json
import threading
from typing import Self

import numpy as np

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"


class SlowService:
    """Serves from a thread of its own; a call beyond those at once waits for its turn."""

    def __init__(self, seconds: float, at_once: int, dimensions: int) -> None:
        self.calls = 0
        self._seconds = seconds
        self._at_once = at_once
        self._dimensions = dimensions
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        self.url = f"http://127.0.0.1:{starting.result()}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self) -> int:
        self._room = asyncio.Semaphore(self._at_once)
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, limit=1 << 24)
        return int(self._server.sockets[0].getsockname()[1])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                texts = json.loads(await reader.readexactly(length))["input"]
                async with self._room:
                    await asyncio.sleep(self._seconds)
                self.calls += 1
                content = json.dumps(
                    {"data": [self._item(n, text) for n, text in enumerate(texts)]}
                ).encode()
                writer.write(ANSWER % (len(content), content))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            writer.close()

    def _item(self, index: int, text: str) -> dict[str, object]:
        """A vector that depends on the text alone."""
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        numbers = np.random.default_rng(seed).standard_normal(self._dimensions).astype("<f4")
        return {"index": index, "embedding": base64.b64encode(numbers.tobytes()).decode()}
