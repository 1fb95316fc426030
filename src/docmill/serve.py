"""`docmill serve`: database, API, page and worker processes in one command.

The API runs in this process; workers are processes of their own, because a worker may be ended by
what it works on. They are forked from one warm process, and share its memory. A worker that dies is
replaced. On SIGTERM the API stops first, then the workers drain, then the embedded database shuts
down. When this process is killed and nobody tells them, workers are killed by the process that they
are forked from, and their leases run out.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

import uvicorn

from docmill import embed
from docmill.config import Settings
from docmill.database import Addresses, ApiDatabase
from docmill.errors import Unavailable
from docmill.parse_process import parser_zygote
from docmill.tick import Tick
from docmill.web.app import create_app
from docmill.web.wire import ACCEPTED_AT_ONCE, HEAD_BYTES, wire
from docmill.worker_process import how_it_ended, worker_zygote
from docmill.zygote import Forks

if TYPE_CHECKING:
    from fastapi import FastAPI

    from docmill.web.service import Service

log = logging.getLogger(__name__)

LOOK_AFTER_WORKERS_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
CLOSING_SECONDS = 5
BACKLOG = 2048
KILL_AFTER_SECONDS = 5.0
# By how much workers and parsers are nicer: who asks is answered before the next page is read.
BEHIND_REQUESTS = 10


def serve(settings: Settings, addresses: Addresses) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        Unavailable: the port is taken, or the model's weights are not what they must be.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(_listener(settings))
        embedder = embed.create_embedder(settings)
        app = create_app(
            settings,
            ApiDatabase(addresses.api),
            embedder,
            Tick(addresses),
        )
        server = _Server(
            uvicorn.Config(
                app,
                http=wire(settings.upload_idle_seconds),
                h11_max_incomplete_event_size=HEAD_BYTES,
                ws="none",
                backlog=ACCEPTED_AT_ONCE,
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="on",
                timeout_graceful_shutdown=CLOSING_SECONDS,
            )
        )
        stack.enter_context(_workers(settings, addresses, embed.table_of(embedder)))
        stack.enter_context(_signals_end(server))
        host, port = listener.getsockname()[:2]
        log.info("docmill serves http://%s:%s", f"[{host}]" if ":" in host else host, port)
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends what would not end by itself soon, before it waits for answers to end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(BACKLOG)  # it was lowered to what is accepted at once

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = cast("FastAPI", self.config.app)
        service: Service = app.state.service
        service.changes.end()
        service.tick.end()
        await super().shutdown(sockets)


@contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG
        )
    except OSError as error:
        raise Unavailable(
            f"{settings.host}:{settings.port} can't be listened on ({error.strerror}). Stop what"
            " uses the port, or choose another one by --port."
        ) from error
    with listener:
        yield listener


@contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """A signal ends the server, also one that comes before it has handlers of its own.

    When it has ended by its own, it raises the signal again; that ends nothing more.
    """

    def end(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# worker processes ------------------------------------------------------------------------


@contextmanager
def _workers(settings: Settings, addresses: Addresses, table: int | None) -> Iterator[None]:
    """Keep the worker processes running for the length of a block, then drain them."""
    if not settings.workers:
        yield
        return
    parsers = parser_zygote(nicer=BEHIND_REQUESTS)
    parsers.start()
    shared = {"--zygote": parsers.wishes.fileno()}
    if table is not None:
        shared["--embedding-table"] = table
    workers = worker_zygote(addresses, shared, nicer=BEHIND_REQUESTS)
    keepers = [WorkerKeeper(number, workers) for number in range(1, settings.workers + 1)]
    for keeper in keepers:
        keeper.start()
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.ask_to_drain()
        for keeper in keepers:
            keeper.wait(settings.drain_seconds + KILL_AFTER_SECONDS)
        workers.close()
        parsers.close()


class WorkerKeeper:
    """One worker process, replaced when it dies, with longer pauses if it dies at once."""

    def __init__(self, number: int, workers: Forks) -> None:
        self._workers = workers
        self._ended = threading.Event()
        self._begin()
        self._thread = threading.Thread(target=self._keep, name=f"keeper-{number}", daemon=True)

    def start(self) -> None:
        """Begin to look after the process."""
        self._thread.start()

    def ask_to_drain(self) -> None:
        """Ask the process to end, and replace it no more."""
        self._ended.set()
        self._thread.join()
        self._held.close()

    def wait(self, seconds: float) -> None:
        """Wait for the process; one that does not end in time is killed, its leases run out."""
        try:
            self._process.wait(seconds)
        except TimeoutError:
            log.warning("worker process %s does not end and is killed", self._process.pid)
            self._process.kill()

    def _begin(self) -> None:
        """Have a worker. It drains when the other end of its stdin, which we hold, is closed."""
        self._held, stdin = socket.socketpair()
        with stdin, Path(os.devnull).open("wb") as nowhere:
            self._process = self._workers.fork(stdin.fileno(), nowhere.fileno())

    def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        started = time.monotonic()
        while not self._ended.wait(LOOK_AFTER_WORKERS_SECONDS):
            status = self._process.poll()
            if status is None:
                continue
            if time.monotonic() - started > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            if self._process.orphaned:
                log.error("worker process %s drains and is replaced", self._process.pid)
            else:
                log.error(
                    "worker process %s died (%s) and is replaced",
                    self._process.pid,
                    how_it_ended(status),
                )
            if self._ended.wait(pause):
                return
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            self._held.close()
            started = time.monotonic()
            try:
                self._begin()
            except OSError:  # no descriptor left; soon again
                log.exception("no worker process can be started now")
