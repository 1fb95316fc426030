"""A PostgreSQL of a test's own, that can be struck down and started again at the same address."""

import signal
from pathlib import Path

import psutil

from docmill import database, embedded_postgres
from docmill.database import Sync


class RestartablePostgres:
    """The embedded server in a folder. `url` stays the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = embedded_postgres.start(folder)
        self.url = self._server.admin_url

    def strike(self, how: signal.Signals) -> None:
        """Send the server a signal, and wait until it is gone."""
        pid = (self._folder / "postgres" / "postmaster.pid").read_text().split()[0]
        process = psutil.Process(int(pid))
        process.send_signal(how)
        process.wait(60)

    def start_again(self) -> None:
        self._server.stop()
        self._server = embedded_postgres.start(self._folder)

    def stop(self) -> None:
        self._server.stop()

    def connected(self) -> Sync:
        """A connection that sees every row."""
        admin = database.connect(self.url, autocommit=True)
        admin.execute("select set_config('search_path', 'docmill, extensions', false)")
        return admin
