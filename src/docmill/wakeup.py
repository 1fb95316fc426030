"""The wake-up: a thread that listens for "there is work", so that an idle worker starts at once.

Only ever a hint. A notification that is lost costs one poll's wait and nothing else. Behind a
transaction pooler nobody would hear any; that is found out, and then nobody listens.
"""

import logging
import threading

import psycopg

from docmill.database import connect
from docmill.pooling import find_way

log = logging.getLogger(__name__)

CHANNEL = "docmill_jobs"
LONGEST_PAUSE = 30.0
LISTENED_AT_ONCE = 5.0
NOT_TOLD = "behind a transaction pooler nobody tells of new work: it is looked for at each poll"


class WakeUp:
    """An event that is set when there may be work: by the database, a free slot or a signal."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._event = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="wake-up", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no longer. The thread ends by itself soon after."""
        self._ended.set()
        self._event.set()

    def now(self) -> None:
        """Wake whoever waits."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Wait until somebody wakes us, and at most this long."""
        self._event.wait(seconds)
        self._event.clear()

    def _listen(self) -> None:
        pause = 1.0
        while not self._ended.is_set():
            try:
                if not find_way(self._address).own_session:
                    log.info(NOT_TOLD)
                    return
                with connect(self._address, autocommit=True) as connection:
                    connection.execute(f"listen {CHANNEL}".encode())
                    pause = 1.0
                    self.now()  # what came before we listened was not heard
                    while not self._ended.is_set():
                        for _ in connection.notifies(timeout=LISTENED_AT_ONCE, stop_after=1):
                            self.now()
            except psycopg.Error as error:
                log.debug("not listening for work, polling instead: %s", error)
                self._ended.wait(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
