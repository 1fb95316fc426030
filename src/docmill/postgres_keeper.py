"""Keeps the embedded PostgreSQL running: one that dies is started again, with the same address.

A server that the kernel killed, or that panicked on a full disk, would else leave docmill answering
503 until somebody looks. Only a server that this process started is kept; one that it adopted is
kept by whoever started it.
"""

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from docmill import embedded_postgres
from docmill.errors import Unavailable

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class PostgresKeeper:
    """The server that keeps its data in a folder, for the length of a block.

    Raises:
        Unavailable: at the beginning, where it can't be started.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._server = embedded_postgres.start(data_dir)
        self.admin_url = self._server.admin_url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="postgres-keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._server.stop()

    def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._ended.wait(LOOK_AGAIN_SECONDS):
            if not self._server.has_died():
                continue
            log.error("the embedded PostgreSQL died and is started again")
            self._server.stop()
            try:
                self._server = embedded_postgres.start(self._data_dir)
                pause = FIRST_PAUSE_SECONDS
            except Unavailable as reason:
                log.warning("%s", reason)
                self._ended.wait(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
