"""Where processes of one kind come from: a warm one, the *zygote*, which forks one for each wish.

Started by itself, a process of Python imports what it needs for a tenth of a second and more, and
shares nothing. Forked, it is there at once and shares its libraries.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from struct import Struct
from typing import Protocol

log = logging.getLogger(__name__)

NUMBER = Struct(">i")
FILES_OF_A_WISH = 3
BIRTH_SECONDS = 60.0  # the first waits for the imports, which a busy machine may not do at once
EXIT_SECONDS = 5.0
AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Program:
    """What a zygote runs: see `forking`. `forks` are what it forks, for the log.

    It inherits the descriptors of `inherits`, and works in `folder`, or else in ours.
    """

    forks: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str | None = None
    inherits: Sequence[int] = ()


class Forked:
    """A process that was forked for us; used by one thread at a time.

    `pid` is None until its birth was heard of, `status` until its end was: an exit status, negative
    for a signal. `orphaned`: it was the zygote that ended, and no more will be heard of this one.
    """

    def __init__(self, tie: socket.socket) -> None:
        self.pid: int | None = None
        self.status: int | None = None
        self.orphaned = False
        self._tie = tie
        self._poll = select.poll()
        self._poll.register(tie, select.POLLIN)

    def born(self) -> int | None:
        """Wait for its process id; None where it did not come to be."""
        if self.pid is None:
            self._listen(BIRTH_SECONDS)
        return self.pid

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        while self._listen(0):
            pass
        return self.status

    def wait(self, seconds: float) -> int:
        """Wait for its end; its exit status.

        Raises:
            TimeoutError: it takes longer than this.
        """
        ends = time.monotonic() + seconds
        while self.status is None:
            if not self._listen(max(0.0, ends - time.monotonic())):
                raise TimeoutError
        return self.status

    def kill(self) -> None:
        """End it and wait for that."""
        with suppress(OSError):  # the zygote is gone
            self._tie.shutdown(socket.SHUT_WR)
        try:
            self.wait(EXIT_SECONDS)
        except TimeoutError:  # the zygote stands still; then nobody else gets the process id
            if self.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            self.status = -signal.SIGKILL
        self._tie.close()

    def _listen(self, seconds: float) -> bool:
        """Take in what the zygote says next; whether it said something in this time."""
        if self.status is not None or not self._poll.poll(seconds * 1000):
            return False
        said = self._tie.recv(NUMBER.size)
        if not said:
            self.orphaned = True
            self.status = -signal.SIGKILL
        elif self.pid is None:
            (self.pid,) = NUMBER.unpack(said)
        else:
            (self.status,) = NUMBER.unpack(said)
        return True


class Forks(Protocol):
    """Whom to ask for a fork."""

    def fork(self, stdin: int, stdout: int) -> Forked:
        """A process that has these two descriptors, of which it gets copies."""

    def close(self) -> None:
        """Ask for no more."""


class SharedZygote:
    """One that another process has started and looks after; `wishes` is its descriptor here."""

    def __init__(self, wishes: int) -> None:
        os.set_inheritable(wishes, False)  # noqa: FBT003 - takes it by position only
        self._wishes = socket.socket(fileno=wishes)

    def fork(self, stdin: int, stdout: int) -> Forked:
        """See `Forks`."""
        return wish(self._wishes, stdin, stdout)

    def close(self) -> None:
        """Ask for no more."""
        self._wishes.close()


class Zygote:
    """One of our own: started at the first wish, started again when it dies, gone with us.

    `nicer`: by how much its niceness, and that of what it forks, is above ours. `wishes` is the
    socket that other processes may inherit, for a `SharedZygote`. What they ask for while it is
    not there waits.
    """

    def __init__(self, program: Program, *, nicer: int = 0) -> None:
        self._program = program
        self.wishes, self._heard = socket.socketpair()
        self._nicer = nicer
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="zygote", daemon=True)

    @property
    def pid(self) -> int | None:
        """Its process id, None before its start."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Have it warm before the first wish. Does nothing where it was started."""
        with self._changing:
            if self._process is None:
                self._process = self._spawn()
                self._keeper.start()

    def fork(self, stdin: int, stdout: int) -> Forked:
        """See `Forks`."""
        self.start()
        return wish(self.wishes, stdin, stdout)

    def close(self) -> None:
        """End it, and what it forked. Nothing happens the second time."""
        with self._changing:
            self._closed.set()
            if self._process:
                self._process.kill()
        if self._process:
            self._keeper.join()
        self.wishes.close()
        self._heard.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._program.command,
            stdin=self._heard.fileno(),
            stdout=subprocess.DEVNULL,
            env=self._program.environment,
            cwd=self._program.folder,
            pass_fds=self._program.inherits,
            # In no session of its own, where its niceness would count for nothing: Linux shares
            # processors out between sessions first.
        )
        if self._nicer:
            niceness = os.getpriority(os.PRIO_PROCESS, 0) + self._nicer
            os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
        return process

    def _keep(self) -> None:
        while self._process is not None:
            status = self._process.wait()
            if self._closed.wait(AGAIN_SECONDS):
                return
            log.error(
                "the process that forks %s died (status %d) and is replaced",
                self._program.forks,
                status,
            )
            with self._changing:
                if self._closed.is_set():
                    return
                try:
                    self._process = self._spawn()
                except OSError:  # no memory or no process left; soon again
                    log.exception("it can't be started now")


def wish(wishes: socket.socket, stdin: int, stdout: int) -> Forked:
    """Ask the zygote behind a socket for a fork. One that is gone for good is heard of later."""
    ours, tie = socket.socketpair()
    with tie, suppress(BrokenPipeError, ConnectionResetError):
        socket.send_fds(wishes, [b"!"], [stdin, stdout, tie.fileno()])
    return Forked(ours)
