"""The parser's own process: reads requests, answers with pages, holds nothing worth stealing.

`python -m docmill.parse_child PARENT_PID`. A request is a line of JSON on stdin. An answer is
frames on a private copy of stdout: kind, page number and length of the body, then the body.

What a hostile file could use is taken away before it is opened: the network where the system
allows it, files beyond reading, memory and CPU beyond its share. The process ends with its parent.
"""

import ctypes
import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO

from docmill.errors import Failure
from docmill.model import Notice, Opened, Page

FRAME = Struct(">cII")
READY, OPENED, PAGE, NOTICE, FAILED, DONE = (bytes([letter]) for letter in b"ROPNFD")

PR_SET_PDEATHSIG = 1  # linux/prctl.h
CLONE_NEWUSER = 0x10000000  # linux/sched.h
CLONE_NEWNET = 0x40000000
SIGKILL = 9
BYTES_AS_A_PAGE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One file to parse, and what parsing it may use.

    `memory_bytes` is on top of what the process has mapped when idle. `cpu_seconds` is for the
    file, `cpu_seconds_per_page` for each page; without pages, 64 KiB of the file count as one.
    """

    path: str
    filename: str
    first: int
    last: int | None
    memory_bytes: int
    cpu_seconds: float
    cpu_seconds_per_page: float

    def as_line(self) -> bytes:
        """The request as it goes over the pipe."""
        return json.dumps(asdict(self)).encode() + b"\n"


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


def main() -> None:
    """Serve requests until the parent is gone."""
    end_with_parent(int(sys.argv[1]))
    answers = private_stdout()
    leave_network()
    requests = read_requests()
    import docmill.parse  # noqa: F401, PLC0415 - the parent knows the frames without the parsers

    silence()
    send(answers, FRAME.pack(READY, 0, 0))
    while True:
        serve(Request(**json.loads(requests.get())), answers)


def serve(request: Request, answers: BinaryIO) -> None:
    """One request, answered to the end: `DONE` or a failure."""
    try:
        for part in parts(request):
            send(answers, frame(part))
        send(answers, FRAME.pack(DONE, 0, 0))
    except Failure as failure:
        send(answers, frame(failure))
    except MemoryError:
        send(answers, frame(Failure("PARSER_OUT_OF_MEMORY", "An allocation was refused.")))
    except BrokenPipeError:
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        send(answers, frame(Failure("INTERNAL", f"{type(error).__name__}: {error}.")))


def parts(request: Request) -> Iterator[Opened | Page | Notice]:
    """The parse, under its limits. How many pages it may take is known once it is open."""
    from docmill.parse import parse  # noqa: PLC0415 - as in main

    path = Path(request.path)
    limit_process(request.memory_bytes)
    limit_cpu(request, path.stat().st_size / BYTES_AS_A_PAGE)
    for part in parse(path, request.filename, request.first, request.last):
        if isinstance(part, Opened) and part.ranged and part.pages is not None:
            last = part.pages if request.last is None else min(request.last, part.pages)
            limit_cpu(request, max(0, last - request.first + 1))
        yield part


def send(answers: BinaryIO, data: bytes) -> None:
    """Each part at once: the parent reads progress and life from it."""
    answers.write(data)
    answers.flush()


# what the process may do -----------------------------------------------------------------


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process with the thread that started it (Linux).

    Elsewhere the end of stdin does it, see `read_requests`.
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


def leave_network() -> None:
    """Move into an empty network namespace where the system lets us; a document can't phone home.

    Without privileges it takes a user namespace of its own, which some systems forbid: then the
    parsers' settings alone keep them from the network. Must run before the first thread starts.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if libc.unshare(CLONE_NEWNET) != 0:
            libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)


def read_requests() -> queue.SimpleQueue[bytes]:
    """Lines of stdin, read beside the work, so that its end is seen in the middle of a document."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return lines


def silence() -> None:
    """No file can fill the parent's log. Until here, a failed import could be read there."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def limit_process(memory_bytes: int) -> None:
    """No core dump, no written file, and no more address space than what is mapped plus this."""
    import resource  # noqa: PLC0415 - absent on Windows, where the parent's watch is all there is

    set_soft(resource.RLIMIT_CORE, 0)
    set_soft(resource.RLIMIT_FSIZE, 0)
    if sys.platform == "linux":
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        set_soft(resource.RLIMIT_AS, mapped + memory_bytes)


def limit_cpu(request: Request, pages: float) -> None:
    """SIGXCPU when this request has used its share, counted from now."""
    import resource  # noqa: PLC0415 - as above

    share = request.cpu_seconds + request.cpu_seconds_per_page * pages
    set_soft(resource.RLIMIT_CPU, math.ceil(time.process_time() + share))


def set_soft(which: int, value: int) -> None:
    """Only the soft limit, as far as the hard one allows: the next request gets its own."""
    import resource  # noqa: PLC0415 - as above

    _, hard = resource.getrlimit(which)
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (soft, hard))


if __name__ == "__main__":
    main()
