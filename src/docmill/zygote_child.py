"""The process that parsers are forked from: it imports what they need once, and holds nothing else.

`python -m docmill.zygote_child`. Its stdin is a socket; whoever wants parsers has the other end. A
byte is a wish for one, and three open files come with it: the parser's stdin, its stdout, and the
*tie*, a socket whose other end stays with who asked. Over the tie go the parser's process id and,
when it has ended, its exit status. A tie that is let go of ends its parser.

It has one thread, for a fork takes only one along; it reads no stranger's file; it ends when nobody
is left to ask. What a parser gives up (`parse_child`), it gives up after the fork.
"""

import gc
import os
import select
import signal
import socket
from contextlib import suppress

from docmill import parse_child
from docmill.zygote import FILES_OF_A_WISH, NUMBER

FIRST_NOT_STANDARD = 3  # descriptors: 0 to 2 are


def main() -> None:
    """Fork parsers; and be one, in each of them."""
    import docmill.parse  # noqa: F401, PLC0415 - all that parsers share

    # What the collector does not visit stays shared: it writes into all that it looks at.
    gc.collect()
    gc.freeze()
    zygote = os.getpid()
    Parsers(socket.socket(fileno=0)).fork_parsers()
    parse_child.main(zygote)


class Parsers:
    """Those that live, and where to hear of wishes and of ends.

    Descriptors are plain numbers here: an object would close its number again in a parser, where
    that is something else by then.
    """

    def __init__(self, wishes: socket.socket) -> None:
        self._wishes = wishes
        self._parsers: dict[int, int] = {}  # process ids, by ties
        self._ends, told = os.pipe()
        os.set_blocking(told, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler nothing is told
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        self._poll = select.poll()
        for descriptor in (wishes.fileno(), self._ends):
            self._poll.register(descriptor, select.POLLIN)

    def fork_parsers(self) -> None:
        """Fork one for each wish; returns in each of them. Ends the process where nobody asks."""
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            # Wishes last: their ties may get the numbers of those that were closed here.
            for tie in ready & self._parsers.keys():
                self._poll.unregister(tie)
                os.kill(self._parsers[tie], signal.SIGKILL)
            if self._ends in ready:
                self._report_ends()
            if self._wishes.fileno() in ready and self._fork():
                return

    def _fork(self) -> bool:
        """Fork a parser, if one is wished for; whether this is the parser."""
        wish, descriptors, _, _ = socket.recv_fds(self._wishes, 1, FILES_OF_A_WISH)
        if not wish:
            raise SystemExit
        if len(descriptors) == FILES_OF_A_WISH:
            stdin, stdout, tie = descriptors
            with suppress(OSError):  # no memory or no process left; the tie's end says so
                parser = os.fork()
                if parser == 0:
                    self._leave(stdin, stdout)
                    return True
                self._parsers[tie] = parser
                self._poll.register(tie, select.POLLIN)
                tell(tie, parser)
                descriptors.remove(tie)
        for descriptor in descriptors:
            os.close(descriptor)
        return False

    def _leave(self, stdin: int, stdout: int) -> None:
        """Keep nothing of the zygote's, nor of the other parsers'."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._wishes.detach()
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.closerange(FIRST_NOT_STANDARD, os.sysconf("SC_OPEN_MAX"))
        os.setpgid(0, 0)

    def _report_ends(self) -> None:
        os.read(self._ends, select.PIPE_BUF)
        ties = {parser: tie for tie, parser in self._parsers.items()}
        while self._parsers:
            parser, status = os.waitpid(-1, os.WNOHANG)
            if parser == 0:
                return
            tie = ties[parser]
            del self._parsers[tie]
            with suppress(KeyError):  # it was let go of
                self._poll.unregister(tie)
            tell(tie, os.waitstatus_to_exitcode(status))
            os.close(tie)


def tell(tie: int, number: int) -> None:
    """Say a number to who asked for the parser, if somebody still listens."""
    with suppress(OSError):
        os.write(tie, NUMBER.pack(number))


if __name__ == "__main__":
    main()
