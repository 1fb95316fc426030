"""The other side of a zygote: a process that forks itself for each wish.

Its stdin is a socket; whoever has the other end sends wishes. A byte is one, and three open files
come with it: stdin and stdout of what is to be forked, and the *tie*, a socket whose other end is
with who asked. Over the tie go the process id of what was forked and, when that has ended, its exit
status. A tie that is let go of ends what hangs on it.

The process has one thread, for a fork takes only one along, and ends when nobody is left to ask.
"""

import gc
import os
import select
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress

from docmill.zygote import FILES_OF_A_WISH, NUMBER

# Who ends a service may tell all of its processes at once. The server's then end in its order.
NOT_FOR_US = (signal.SIGTERM, signal.SIGINT)


def fork_for_each_wish() -> None:
    """Fork for each wish; returns in each fork, and nowhere else.

    A fork has a stdin and a stdout of its own, and whatever else was open before.
    """
    # What the collector does not visit stays shared: it writes into all that it looks at.
    gc.collect()
    gc.freeze()
    _Forking(socket.socket(fileno=0)).run()


class _Forking:
    """The forks that live, and where to hear of wishes and of ends.

    Descriptors are plain numbers here: an object would close its number again in a fork, where that
    is something else by then.
    """

    def __init__(self, wishes: socket.socket) -> None:
        self._wishes = wishes
        self._forks: dict[int, int] = {}  # process ids, by ties
        self._ends, self._told = os.pipe()
        os.set_blocking(self._told, False)
        self._handlers = {number: signal.signal(number, signal.SIG_IGN) for number in NOT_FOR_US}
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler nothing is told
        signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)
        self._poll = select.poll()
        for descriptor in (wishes.fileno(), self._ends):
            self._poll.register(descriptor, select.POLLIN)

    def run(self) -> None:
        """Fork for each wish; returns in each fork. Ends the process where nobody asks."""
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            # Wishes last: their ties may get the numbers of those that were closed here.
            for tie in ready & self._forks.keys():
                self._poll.unregister(tie)
                os.kill(self._forks[tie], signal.SIGKILL)
            if self._ends in ready:
                self._report_ends()
            if self._wishes.fileno() in ready and self._fork():
                return

    def _fork(self) -> bool:
        """Fork, if that is wished for; whether this is the fork."""
        wish, descriptors, _, _ = socket.recv_fds(self._wishes, 1, FILES_OF_A_WISH)
        if not wish:
            raise SystemExit
        if len(descriptors) == FILES_OF_A_WISH and (fork := forked()) is not None:
            stdin, stdout, tie = descriptors
            if fork == 0:
                os.dup2(stdin, 0)
                os.dup2(stdout, 1)
                self._leave(descriptors)
                return True
            self._forks[tie] = fork
            self._poll.register(tie, select.POLLIN)
            tell(tie, fork)
            descriptors.remove(tie)
        for descriptor in descriptors:
            os.close(descriptor)
        return False

    def _leave(self, come_with_the_wish: Sequence[int]) -> None:
        """Keep nothing of what the zygote has for itself and for the other forks."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._wishes.detach()
        for descriptor in (self._ends, self._told, *self._forks, *come_with_the_wish):
            os.close(descriptor)

    def _report_ends(self) -> None:
        os.read(self._ends, select.PIPE_BUF)
        ties = {fork: tie for tie, fork in self._forks.items()}
        while self._forks:
            fork, status = os.waitpid(-1, os.WNOHANG)
            if fork == 0:
                return
            tie = ties[fork]
            del self._forks[tie]
            with suppress(KeyError):  # it was let go of
                self._poll.unregister(tie)
            tell(tie, os.waitstatus_to_exitcode(status))
            os.close(tie)


def forked() -> int | None:
    """What `os.fork` says; None where no memory or no process is left: the tie's end says so."""
    try:
        return os.fork()
    except OSError:
        return None


def tell(tie: int, number: int) -> None:
    """Say a number to who asked for the fork, if somebody still listens."""
    with suppress(OSError):
        os.write(tie, NUMBER.pack(number))
