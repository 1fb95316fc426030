"""The parser's own process: reads requests, answers with pages, holds nothing worth stealing.

Forked by `parse_zygote`. Its stdin is a socket: a request is a line of JSON, and with it comes the
file, open. An answer is frames on a private copy of stdout: kind, page number and length of the
body, then the body.

What a hostile file could use is taken away before it is opened: files and network (`confinement`),
memory and CPU beyond its share. The process ends with the one that it was forked from, and with the
one that has the other end of its stdin.
"""

import ctypes
import io
import json
import math
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from docmill.confinement import confine
from docmill.errors import Failure
from docmill.model import Notice, Opened, Page

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FRAME = Struct(">cII")
READY, OPENED, PAGE, NOTICE, FAILED, DONE = (bytes([letter]) for letter in b"ROPNFD")

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SIGKILL = 9
LONGEST_BODY = 8 << 20  # of a frame: a page of a PDF has up to a million characters
BYTES_AS_A_PAGE = 64 * 1024
LONGEST_REQUEST = 64 * 1024
IN_MEMORY_BYTES = 4 << 20  # a file up to here is read at once, a longer one piece by piece
TOGETHER_BYTES = 64 * 1024  # of frames that leave together; a pipe holds as much


class Request(NamedTuple):
    """What to parse of a file, and what parsing it may use.

    `memory_bytes` is on top of what the process has mapped when idle. `cpu_seconds` is for the
    file, `cpu_seconds_per_page` for each page; without pages, 64 KiB of the file count as one.
    """

    filename: str
    first: int
    last: int | None
    memory_bytes: int
    cpu_seconds: float
    cpu_seconds_per_page: float

    def as_line(self) -> bytes:
        """The request as it goes over the pipe."""
        return json.dumps(self).encode() + b"\n"

    def pages_of(self, opened: Opened) -> int:
        """How many pages are read one by one; 0 of a file that is read as a whole."""
        if not opened.ranged or opened.pages is None:
            return 0
        last = opened.pages if self.last is None else min(self.last, opened.pages)
        return max(0, last - self.first + 1)


def frame(part: Opened | Page | Notice | Failure) -> bytes:
    """A part of the answer as it goes over the pipe."""
    match part:
        case Page(number, text):
            body = text.encode()
            return FRAME.pack(PAGE, number, len(body)) + body
        case Opened():
            return packed(OPENED, [part.media_type, part.pages, part.ranged])
        case Notice():
            return packed(NOTICE, [part.code, part.detail, part.page])
        case Failure():
            # The parent makes a Failure of it again, which adds the remedy again.
            return packed(FAILED, [part.code, part.detail.removesuffix(part.kind.remedy).strip()])


def packed(kind: bytes, fields: list[str | int | None]) -> bytes:
    """A frame whose body is a list in JSON."""
    body = json.dumps(fields).encode()
    return FRAME.pack(kind, 0, len(body)) + body


def unframe(kind: bytes, number: int, body: bytes) -> Opened | Page | Notice | Failure | None:
    """What `frame` was given; None for the marks without content. `ValueError` for nonsense."""
    match kind:
        case b"P":
            return Page(number, body.decode())
        case b"O":
            return Opened(*json.loads(body))
        case b"N":
            return Notice(*json.loads(body))
        case b"F":
            return Failure(*json.loads(body))
        case b"R" | b"D":
            return None
    raise ValueError(f"no such kind of frame: {kind!r}")


def main(zygote: int) -> None:
    """Serve requests until the process with this id, which has forked this one, is gone."""
    answers = private_stdout()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    limits = Limits()
    confine()
    end_with_parent(zygote)  # only now: who becomes another user forgets it
    silence(nowhere)
    end_with_asker()
    requests = socket.socket(fileno=0)
    send(answers, FRAME.pack(READY, 0, 0))
    while received := receive(requests):
        line, descriptor = received
        serve(Request(*json.loads(line)), OpenFile(descriptor), limits, answers)
    os._exit(0)


def serve(request: Request, opened: "OpenFile", limits: "Limits", answers: BinaryIO) -> None:
    """One request, answered to the end: `DONE` or a failure."""
    answer = Answer(request, answers)
    try:
        with opened:
            for part in parts(request, opened, limits):
                answer.add(part)
        answer.end(FRAME.pack(DONE, 0, 0))
    except Failure as failure:
        answer.end(frame(failure))
    except MemoryError:
        answer.end(frame(Failure("PARSER_OUT_OF_MEMORY", "An allocation was refused.")))
    except BrokenPipeError:
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        answer.end(frame(Failure("INTERNAL", f"{type(error).__name__}: {error}.")))


def parts(
    request: Request, opened: "OpenFile", limits: "Limits"
) -> Iterator[Opened | Page | Notice]:
    """The parse, under its limits. How many pages it may take is known once it is open."""
    # Only parsers need the parsers; those who ask them know the frames.
    from docmill.parse import parse  # noqa: PLC0415

    limits.allow_memory(request.memory_bytes)
    limits.allow_cpu(request, opened.size / BYTES_AS_A_PAGE)
    for part in parse(opened.readable_file(), request.filename, request.first, request.last):
        if isinstance(part, Opened) and part.ranged:
            limits.allow_cpu(request, request.pages_of(part))
        yield part


class Answer:
    """The frames of one answer, on their way to the parent.

    What was read leaves before a further page is begun: the parent reads progress and life from it,
    and which page it was that broke the parser. Each message wakes the parent, so what comes from
    the last page on leaves together, and of a file that is read as a whole all does.
    """

    def __init__(self, request: Request, answers: BinaryIO) -> None:
        self._request = request
        self._answers = answers
        self._held = bytearray()
        self._pages_to_come = 0

    def add(self, part: Opened | Page | Notice) -> None:
        """One more part."""
        self._held += frame(part)
        if isinstance(part, Opened):
            self._pages_to_come = self._request.pages_of(part)
        elif isinstance(part, Page):
            self._pages_to_come -= 1
        if self._pages_to_come > 0 or len(self._held) >= TOGETHER_BYTES:
            self._send()

    def end(self, mark: bytes) -> None:
        """What is left, and the frame that says how it ended."""
        self._held += mark
        self._send()

    def _send(self) -> None:
        held, self._held = self._held, bytearray()
        send(self._answers, held)


def send(answers: BinaryIO, data: bytes | bytearray) -> None:
    """Write it, and let nothing of it stay here."""
    answers.write(data)
    answers.flush()


class OpenFile(io.RawIOBase):
    """A file that came open over a socket, with a position of its own.

    The ranges of one document are read from one open file by several processes at once, and the
    kernel keeps one position for all of them.
    """

    def __init__(self, descriptor: int) -> None:
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._position = 0

    def readable_file(self) -> BinaryIO:
        """The file, to be read in pieces of any size: from memory where it is small."""
        if self.size <= IN_MEMORY_BYTES:
            return io.BytesIO(os.pread(self._descriptor, self.size, 0))
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position; returns the new one."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read on from the position."""
        into = memoryview(buffer).cast("B")
        data = os.pread(self._descriptor, len(into), self._position)
        into[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


# what the process may do -----------------------------------------------------------------


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process with the one that forked it (Linux).

    Elsewhere the end of stdin does it, see `end_with_asker`.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(0)


def private_stdout() -> BinaryIO:
    """The pipe to the parent, out of reach of a library that prints."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")


def end_with_asker() -> None:
    """End when stdin does, also in the middle of a document: watched for beside the work.

    The watch sleeps until then; requests do not wake it.
    """
    ends = select.poll()
    ends.register(0, select.POLLHUP)

    def wait() -> None:
        ends.poll()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def receive(stdin: socket.socket) -> tuple[bytes, int] | None:
    """The next request's line and file; None at the end."""
    line, descriptors = b"", []
    while not line.endswith(b"\n"):
        data, received, _, _ = socket.recv_fds(stdin, LONGEST_REQUEST, 1)
        if not data:
            return None
        line += data
        descriptors += received
    return line, descriptors[0]


def silence(nowhere: int) -> None:
    """No file can fill the parent's log. Until here, what failed could be read there."""
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


class Limits:
    """What the kernel holds this process to. Opened before files by path are given up."""

    def __init__(self) -> None:
        import resource  # noqa: PLC0415 - absent on Windows, where the parent's watch is all there is

        self._resource = resource
        self._memory = os.open("/proc/self/statm", os.O_RDONLY) if sys.platform == "linux" else None
        for never in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
            resource.setrlimit(never, (0, 0))
        self._hard = {
            which: resource.getrlimit(which)[1]
            for which in (resource.RLIMIT_AS, resource.RLIMIT_CPU)
        }

    def allow_memory(self, size: int) -> None:
        """No more address space than what is mapped now plus this, in bytes."""
        if self._memory is not None:
            self._set_soft(self._resource.RLIMIT_AS, self.mapped_bytes(self._memory) + size)

    def mapped_bytes(self, statm: int) -> int:
        """How much address space is in use, by the first number of proc(5)'s `statm`."""
        pages = int(os.pread(statm, 100, 0).split()[0])
        return pages * self._resource.getpagesize()

    def allow_cpu(self, request: Request, pages: float) -> None:
        """SIGXCPU when this request has used its share, counted from now."""
        share = request.cpu_seconds + request.cpu_seconds_per_page * pages
        self._set_soft(self._resource.RLIMIT_CPU, math.ceil(time.process_time() + share))

    def _set_soft(self, which: int, value: int) -> None:
        """Only the soft limit, as far as the hard one allows: the next request gets its own."""
        hard = self._hard[which]
        soft = value if hard == self._resource.RLIM_INFINITY else min(value, hard)
        self._resource.setrlimit(which, (soft, hard))
