"""Ask one address again and again over some connections; a process of its own.

    python bench/load.py URL CONNECTIONS SECONDS [NAME: VALUE]…

Prints one JSON object: answers per second, percentiles in milliseconds, and how many answers of
each status. As little work per request as Python can do: it takes of the same cores.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class Asking(asyncio.Protocol):
    """One connection, with one request on its way at a time."""

    def __init__(self, request: bytes, ends: float) -> None:
        self.took: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.ended = asyncio.get_running_loop().create_future()
        self._request = request
        self._ends = ends
        self._buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Ask."""
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._begun = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take an answer, and ask again."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        status = STATUS.match(head)
        assert status is not None
        length = LENGTH.search(head)
        if len(body) < (int(length[1]) if length else 0):
            return
        self._buffer = b""
        now = time.perf_counter()
        self.took.append(now - self._begun)
        self.statuses[int(status[1])] += 1
        if now < self._ends:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """It ended, as it should or not."""
        if not self.ended.done():
            self.ended.set_result(None)


async def main() -> None:
    """Ask, and print what came."""
    url, connections, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    parts = urlsplit(url)
    lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", *sys.argv[4:]]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    asking = [
        (
            await loop.create_connection(
                lambda: Asking(request, begun + seconds), parts.hostname, parts.port
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(one.ended for one in asking))
    lasted = time.perf_counter() - begun
    took = sorted(seconds for one in asking for seconds in one.took)
    statuses = sum((one.statuses for one in asking), Counter())
    print(
        json.dumps(
            {
                "per second": len(took) / lasted,
                "p50": took[len(took) // 2] * 1000,
                "p99": took[int(len(took) * 0.99)] * 1000,
                "statuses": statuses,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
