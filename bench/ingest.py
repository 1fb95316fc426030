"""Many documents through HTTP to searchable, as fast as it goes."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import Numbers
from served import Client, wait_until_all_ended

SENDERS = 4

Upload = tuple[str, bytes, dict[str, str]]


def uploads_of(files: Sequence[Path], repeat: int) -> list[Upload]:
    """The files, several times over: each time in another collection, for else they are known."""
    return [
        (path.name, path.read_bytes(), {"collection": f"time {number}"})
        for number in range(repeat)
        for path in files
    ]


def ingested(address: str, url: str, uploads: Sequence[Upload], *, before: int = 0) -> float:
    """Seconds from the first byte sent to the last document ended; so many are there before."""
    begun = time.perf_counter()
    waiting = iter(uploads)
    with ThreadPoolExecutor(SENDERS) as senders:
        for sender in [senders.submit(send, address, waiting) for _ in range(SENDERS)]:
            sender.result()
    wait_until_all_ended(url, before + len(uploads))
    return time.perf_counter() - begun


def send(address: str, waiting: Iterable[Upload]) -> None:
    """Send what comes out of an iterator that others take from, too."""
    with Client(address) as client:
        for name, content, fields in waiting:
            client.post(name, content, **fields)


def per_second(units: int, act: Callable[[], float]) -> Numbers:
    """The units that the act does in a second, and its seconds."""
    seconds = act()
    return {"per second": units / seconds, "seconds": seconds}
