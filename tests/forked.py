"""A docmill process without its imports: a fork of a process that has made them.

It has the pid, the environment, the output and the signals of its own that a started one has. Only
the second of imports is gone: the tests start a thousand processes, and this was most of what they
cost. The workers of a served docmill, its parsers, and all that a test types, start as for a user.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import IO

from docmill import failpoint
from docmill.cli import COMMANDS, main

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([
    f"docmill.{place.split(':')[0]}" for place, _ in COMMANDS.values()
])  # fmt: skip


class Fork:
    """The fork, with what `Started` (running.py) needs of a `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        reader, writer = _forks.Pipe(duplex=False)
        self._process = _forks.Process(target=_run, args=(arguments, dict(env), writer))
        self._process.start()
        writer.close()
        self.stdout: IO[str] | None = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the end; the exit status."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"{self.pid} did not end in {timeout:g} s"
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends in this moment
                os.kill(self.pid, sig)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: Sequence[str], env: Mapping[str, str], output: Connection) -> None:
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    os.environ.clear()
    os.environ.update(env)
    importlib.reload(failpoint)  # which looks at the environment when it is imported
    sys.argv = ["docmill", *arguments]
    main()
