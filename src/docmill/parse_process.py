"""A parser that can be killed: its process, kept warm between documents and watched while it works.

No parser is safe from every file: 778 bytes of PDF took 3 GB in one, 400 KB crashed another. So
none of them runs in the worker, and whatever a file does to its parser becomes a `Failure` of
that file.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

import docmill
from docmill.errors import Failure, Stopped
from docmill.model import Notice, Opened, Page
from docmill.parse_child import DONE, FRAME, LONGEST_BODY, Request, unframe
from docmill.zygote import EXIT_SECONDS, Forked, Forks, Program, Zygote

PYTHON = (sys.executable, "-P", "-m")
ZYGOTE = "docmill.parse_zygote"
# kreuzberg unpacks a library below the folder for temporary files and loads it from there, or what
# somebody else has put there. docmill reads PDF by a library of its own.
NO_FOLDER = "/dev/null"
KEPT_ENVIRONMENT = {"LD_LIBRARY_PATH", "TZ"}
TICK_SECONDS = 0.1  # how soon a stop is heard, and how often memory is looked at
READ_BYTES = 1 << 16  # a pipe holds as much; for more, room would be made and given back each time
START_SECONDS = 60.0  # takes half a second of CPU, which a busy machine may not have at once
MEMORY_SIGNALS = {  # how allocators, Rust and the kernel end a process without memory
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGKILL,
    signal.SIGSEGV,
    signal.SIGTRAP,
}


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What one request may use. Times are seconds, sizes are bytes.

    `memory_bytes`: resident memory, watched from outside, and address space on top of what the
    idle child has mapped. `seconds`: waiting for the child, all together; the time its reader
    takes between two parts doesn't count. `stall_seconds`: waiting for one part. `cpu_seconds` is
    for the file and `cpu_seconds_per_page` for each page asked for; without pages, 64 KiB of the
    file count as one. `output_bytes`: the text of all pages in UTF-8. After `requests_per_child`
    requests, or with more than half of its memory in use, a child makes way for a fresh one.
    """

    memory_bytes: int = 1 << 30
    seconds: float = 600.0
    stall_seconds: float = 60.0
    cpu_seconds: float = 10.0
    cpu_seconds_per_page: float = 0.5
    output_bytes: int = 256 << 20
    requests_per_child: int = 200


def parser_zygote(*, nicer: int = 0) -> Zygote:
    """Where parsers come from. A server has one for all of its workers, else a worker has its own.

    `nicer`: by how much its niceness, and that of its parsers, is above ours.
    """
    program = Program("parsers", (*PYTHON, ZYGOTE), child_environment(), folder="/")
    return Zygote(program, nicer=nicer)


def child_environment() -> Mapping[str, str]:
    """No settings, no secrets, one thread per library."""
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT & os.environ.keys()}
    return kept | {
        "PYTHONPATH": str(Path(docmill.__file__).parents[1]),
        "LC_ALL": "C.UTF-8",
        "TMPDIR": NO_FOLDER,
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TOKIO_WORKER_THREADS": "1",
    }


class ParseProcess:
    """One killable parser, warm between documents, for one user at a time.

    The child is forked from a zygote, and ends with it and with this process.
    """

    def __init__(self, limits: ParseLimits, zygote: Forks) -> None:
        self.limits = limits
        self._zygote = zygote
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the child, once it is there; None while none is wanted."""
        return self._child.process.born() if self._child else None

    def start(self) -> None:
        """Warm up a child ahead of the first document. Does nothing while one is ready."""
        self._ready_child()

    def close(self) -> None:
        """End the child. The next `parse` starts another."""
        if self._child:
            self._child.kill()
        self._child = None

    def parse(
        self, file: IO[bytes], filename: str, *, first: int, last: int | None, stop: threading.Event
    ) -> Iterator[Opened | Page | Notice]:
        """What `docmill.parse.parse` gives for an open file, part by part as it comes.

        The child gets the file's descriptor and no path; the file's position is left alone.

        Raises `Failure` as that does, or with `PARSER_DIED`, `PARSER_OUT_OF_MEMORY`,
        `PARSER_TIMEOUT`, `PARSER_STALLED`, `OUTPUT_TOO_LARGE`; `Stopped` soon after `stop` is set.
        However it ends, also by closing the generator, the next call finds a working parser.
        """
        child = self._ready_child()
        watch = Watch(self.limits, child, stop, page=first)
        try:
            child.ask(self._request(filename, first, last), file.fileno())
            while not child.idle:
                match child.receive(watch):
                    case Failure() as failure:
                        raise failure
                    case Opened() | Page() | Notice() as part:
                        watch.note(part)
                        yield part
        finally:
            self._settle(child)

    def _request(self, filename: str, first: int, last: int | None) -> Request:
        limits = self.limits
        return Request(
            filename,
            first,
            last,
            limits.memory_bytes,
            limits.cpu_seconds,
            limits.cpu_seconds_per_page,
        )

    def _ready_child(self) -> "Child":
        if self._child and not (self._child.idle and self._child.lives):
            self.close()
        self._child = self._child or Child(self._zygote)
        return self._child

    def _settle(self, child: "Child") -> None:
        """Kill a child in the middle of a document; replace one that served or grew enough."""
        if child is not self._child:  # given up earlier, and its generator collected only now
            return
        if not child.idle:
            self.close()
        elif (
            child.served >= self.limits.requests_per_child
            or child.resident_bytes() > self.limits.memory_bytes // 2
        ):
            self.close()
            self.start()


class Child:
    """The process, the socket to it and the pipe from it.

    `ready` says that it has started, `idle` that it owes no answer.
    """

    def __init__(self, zygote: Forks) -> None:
        self.requests, stdin = socket.socketpair()
        answers, stdout = os.pipe()
        with stdin:
            self.process: Forked = zygote.fork(stdin.fileno(), stdout)
        os.close(stdout)
        self.answers = os.fdopen(answers, "rb", buffering=0)
        self.poll = select.poll()
        self.poll.register(self.answers, select.POLLIN)
        self.buffer = bytearray()
        self.ready = False
        self.idle = True
        self.served = 0
        self._seen: psutil.Process | None = None

    @property
    def lives(self) -> bool:
        """Whether it is there. The end of its pipe says so at once, the zygote a little later."""
        return not any(event & select.POLLHUP for _, event in self.poll.poll(0))

    def ask(self, request: Request, file: int) -> None:
        """Send a request and its file. A child that died meanwhile is met by `receive`."""
        self.idle = False
        with suppress(BrokenPipeError):
            socket.send_fds(self.requests, [request.as_line()], [file])

    def receive(self, watch: "Watch") -> Opened | Page | Notice | Failure | None:
        """The next part of the answer; None for a mark. Raises what the watch decides."""
        watch.begin()
        while (frame := self._frame(watch)) is None:
            watch.check()
            if not self.poll.poll(TICK_SECONDS * 1000):
                continue
            data = os.read(self.answers.fileno(), READ_BYTES)
            if not data:
                raise watch.death(self._exit_status())
            self.buffer += data
            watch.heard()
        kind, number, body = frame
        watch.end(len(body))
        self.ready = True  # it says so first
        try:
            part = unframe(kind, number, body)
        except (ValueError, TypeError, KeyError) as error:
            raise Failure("PARSER_DIED", "The parser's answer made no sense.") from error
        if kind == DONE or isinstance(part, Failure):
            self.idle = True
            self.served += 1
        return part

    def resident_bytes(self) -> int:
        """Its resident memory with what it shares, 0 when it is gone."""
        try:
            if self._seen is None:
                if (pid := self.process.born()) is None:
                    return 0
                self._seen = psutil.Process(pid)
            return int(self._seen.memory_info().rss)
        except psutil.Error:
            return 0

    def kill(self) -> None:
        """End it at once; it holds nothing that needs care."""
        self.process.kill()
        self.requests.close()
        self.answers.close()

    def _frame(self, watch: "Watch") -> tuple[bytes, int, bytes] | None:
        if len(self.buffer) < FRAME.size:
            return None
        kind, number, length = FRAME.unpack_from(self.buffer)
        watch.allow(length)
        end = FRAME.size + length
        if len(self.buffer) < end:
            return None
        body = bytes(self.buffer[FRAME.size : end])
        del self.buffer[:end]
        return kind, number, body

    def _exit_status(self) -> int:
        try:
            return self.process.wait(EXIT_SECONDS)
        except TimeoutError:  # it closed its pipe and lives on
            self.process.kill()
            return -signal.SIGKILL


class Watch:
    """The limits of one request, and where it stands with them."""

    def __init__(
        self, limits: ParseLimits, child: Child, stop: threading.Event, *, page: int
    ) -> None:
        self.limits = limits
        self.child = child
        self.stop = stop
        self.page = page
        self.ranged = False
        self.output = 0
        self.waited = 0.0
        self.peak = 0
        self.began = self.last_heard = self.last_looked = time.monotonic()

    def begin(self) -> None:
        """The waiting for a part begins. What its reader did until now is not the child's fault."""
        if self.stop.is_set():
            raise Stopped
        self.began = self.last_heard = time.monotonic()

    def heard(self) -> None:
        """Bytes have come."""
        self.last_heard = time.monotonic()

    def end(self, length: int) -> None:
        """The part is here, in so many bytes. Starting the parser is not the file's fault."""
        if self.child.ready:
            self.waited += time.monotonic() - self.began
        self.output += length

    def note(self, part: Opened | Page | Notice) -> None:
        """Remember how far it came, for the sentence about how it ended."""
        if isinstance(part, Opened):
            self.ranged = part.ranged
        elif isinstance(part, Page):
            self.page = part.number + 1

    def allow(self, length: int) -> None:
        """Refuse a part that no parser of ours sends, or that goes over the limit, unread."""
        if length > LONGEST_BODY:
            raise Failure("PARSER_DIED", "The parser's answer made no sense.")
        if self.output + length > self.limits.output_bytes:
            raise Failure(
                "OUTPUT_TOO_LARGE",
                f"More than {self.limits.output_bytes:,} bytes of text were found.",
            )

    def check(self) -> None:
        """Raise where a limit is reached."""
        if self.stop.is_set():
            raise Stopped
        now = time.monotonic()
        patience = self.limits.stall_seconds if self.child.ready else START_SECONDS
        if now - self.last_heard > patience:
            raise Failure(
                "PARSER_STALLED", f"Nothing came from the parser for {patience:g} s{self.where}."
            )
        if self.child.ready and self.waited + now - self.began > self.limits.seconds:
            raise Failure(
                "PARSER_TIMEOUT",
                f"The parser took more than {self.limits.seconds:g} s{self.where}.",
            )
        if now - self.last_looked >= TICK_SECONDS:
            self.last_looked = now
            if self.child.ready:
                self.look_at_memory()

    def look_at_memory(self) -> None:
        """Raise where the child holds more memory than it may."""
        self.peak = max(self.peak, self.child.resident_bytes())
        if self.peak > self.limits.memory_bytes:
            raise self.out_of_memory()

    def out_of_memory(self) -> Failure:
        """The failure of a parser that wanted too much."""
        allowed = self.limits.memory_bytes >> 20
        return Failure(
            "PARSER_OUT_OF_MEMORY", f"The parser needed more than {allowed:,} MiB{self.where}."
        )

    def death(self, status: int) -> Failure:
        """What a child's exit status means."""
        if status >= 0:
            return Failure("PARSER_DIED", f"The parser ended with status {status}{self.where}.")
        number = signal.Signals(-status)
        if number == signal.SIGXCPU:
            return Failure("PARSER_TIMEOUT", f"The parser used up its CPU time{self.where}.")
        if number in MEMORY_SIGNALS and self.peak > self.limits.memory_bytes // 2:
            return self.out_of_memory()
        return Failure(
            "PARSER_DIED", f"The parser was ended by signal {-status} ({number.name}){self.where}."
        )

    @property
    def where(self) -> str:
        """The page it is on, where the file has pages."""
        return f" on page {self.page}" if self.ranged else ""


def confinement() -> dict[str, str]:
    """What a child gives up before it reads a file: what by which means, empty where by none."""
    command = (*PYTHON, "docmill.confinement")
    said = subprocess.check_output(command, env=child_environment(), cwd="/")
    taken: dict[str, str] = json.loads(said)
    return taken
