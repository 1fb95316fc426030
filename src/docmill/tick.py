"""One slice of work on demand, for schedulers: `docmill worker --once` beside the server.

A tick is only a hint. A lost one costs time, a doubled or a parallel one nothing: in one server one
slice runs at a time, and who asks meanwhile is told that it does.
"""

import asyncio
import json
import logging
from asyncio.subprocess import PIPE
from typing import Any

from docmill import worker_process
from docmill.database import Addresses
from docmill.errors import Problem

log = logging.getLogger(__name__)

# What a slice may take beyond its budget, to give back what it holds.
GIVE_BACK_SECONDS = 30.0
NOTHING = {"claimed": 0, "finished": 0, "released": 0, "reaped": 0, "remaining": None}


class Tick:
    """Runs slices of work for one server."""

    def __init__(self, addresses: Addresses) -> None:
        self._environment = worker_process.environment(addresses)
        self._running: asyncio.Task[dict[str, Any]] | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def work(self, seconds: float) -> dict[str, Any]:
        """Work what is due for so long, and tell what was done: `worker.Tally`, and whether `busy`.

        The slice goes on if who asked goes away.

        Raises:
            Problem: TICK_FAILED; what it held is given back, or taken over by a later one.
        """
        if self._running is not None and not self._running.done():
            return {**NOTHING, "busy": True}
        self._running = asyncio.create_task(self._slice(seconds))
        return {**await asyncio.shield(self._running), "busy": False}

    def end(self) -> None:
        """Let the slice end now: it gives back what it holds, and tells what it did."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def close(self) -> None:
        """Wait for the slice's end."""
        self.end()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)

    async def _slice(self, seconds: float) -> dict[str, Any]:
        arguments = worker_process.command("--once", "--max-seconds", f"{seconds:g}")
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=PIPE, stdout=PIPE, env=self._environment
        )
        self._process = process
        try:
            async with asyncio.timeout(seconds + GIVE_BACK_SECONDS):
                said = await _last_words(process)
        except TimeoutError:
            process.kill()
            said = await _last_words(process)
        if process.returncode != 0:
            ended = worker_process.how_it_ended(process.returncode or 0)
            log.error("a tick's worker ended early (%s)", ended)
            raise Problem("TICK_FAILED", f"The worker ended early ({ended}). Tick again.")
        tally: dict[str, Any] = json.loads(said)
        return tally


async def _last_words(process: asyncio.subprocess.Process) -> bytes:
    """What it prints; its stdin stays open, for its end would tell the worker to drain."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    said = await process.stdout.read()
    await process.wait()
    return said
