import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from docmill.errors import Failure, Stopped
from docmill.model import Notice, Opened, Page
from docmill.parse import parse
from docmill.parse_child import DONE, FRAME, IN_MEMORY_BYTES, TOGETHER_BYTES, Answer, Request
from docmill.parse_process import ParseLimits, ParseProcess, parser_zygote
from docmill.zygote import Zygote
from made_files import docx, pdf, pdf_of_many_strokes, pdf_that_calls_itself
from running import until

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NEVER = threading.Event()
MIB = 1 << 20


Make = Callable[[ParseLimits], ParseProcess]


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = parser_zygote()
    yield zygote
    zygote.close()


@pytest.fixture
def make(zygote: Zygote) -> Iterator[Make]:
    made = []

    def make(limits: ParseLimits) -> ParseProcess:
        made.append(ParseProcess(limits, zygote))
        return made[-1]

    yield make
    for process in made:
        process.close()


@pytest.fixture
def parser(make: Make) -> ParseProcess:
    return make(ParseLimits())


@pytest.fixture
def short(tmp_path: Path) -> Path:
    path = tmp_path / "short"
    path.write_bytes(pdf("one", "two"))
    return path


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """More text than the pipe holds: the child is in the middle of it until it is read."""
    path = tmp_path / "long"
    path.write_bytes(pdf(*["word " * 800] * 200))
    return path


def run(
    parser: ParseProcess,
    path: Path,
    *,
    first: int = 1,
    last: int | None = None,
    stop: threading.Event = NEVER,
) -> Generator[Opened | Page | Notice]:
    with path.open("rb") as file:
        yield from parser.parse(file, path.name, first=first, last=last, stop=stop)


def in_place(path: Path, first: int = 1, last: int | None = None) -> list[Opened | Page | Notice]:
    with path.open("rb") as file:
        return list(parse(file, path.name, first, last))


def pid_of(parser: ParseProcess) -> int:
    assert parser.pid
    return parser.pid


def first_page(parts: Iterator[Opened | Page | Notice]) -> Page:
    return next(part for part in parts if isinstance(part, Page))


def failure(parts: Iterator[Opened | Page | Notice]) -> Failure:
    with pytest.raises(Failure) as caught:
        list(parts)
    return caught.value


def assert_usable(parser: ParseProcess, short: Path) -> None:
    assert list(run(parser, short)) == in_place(short)


def test_child_gives_what_parsing_in_place_gives(
    parser: ParseProcess, short: Path, tmp_path: Path
) -> None:
    big = tmp_path / "big.txt"
    big.write_text("Größe und Grüße\n" * 40_000)

    for path in (short, big):
        assert list(run(parser, path)) == in_place(path)
    assert list(run(parser, short, first=2, last=2)) == in_place(short, 2, 2)


def test_large_file_is_read_piece_by_piece(parser: ParseProcess, tmp_path: Path) -> None:
    book, office = tmp_path / "book.pdf", tmp_path / "office.docx"
    book.write_bytes(pdf(*["word " * 800] * 1200))
    office.write_bytes(docx("few words", **{"word/media/a.png": os.urandom(IN_MEMORY_BYTES)}))

    for path in (book, office):
        assert path.stat().st_size > IN_MEMORY_BYTES
        assert list(run(parser, path, first=599, last=600)) == in_place(path, 599, 600)


class Messages(io.RawIOBase):
    """What the other end of a pipe is woken by, as letters of the frames in each message."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer") -> int:
        message, letters = bytes(data), ""
        while message:
            kind, _, length = FRAME.unpack_from(message)
            letters += kind.decode()
            message = message[FRAME.size + length :]
        self.heard.append(letters)
        return len(bytes(data))


def messages(parts: list[Opened | Page | Notice], first: int, last: int | None) -> list[str]:
    heard = Messages()
    with io.BufferedWriter(heard) as answers:
        answer = Answer(Request("a", first, last, 0, 0, 0), answers)
        for part in parts:
            answer.add(part)
        answer.end(FRAME.pack(DONE, 0, 0))
    return heard.heard


@pytest.mark.parametrize("last", [None, 3, 100])
def test_page_is_told_before_the_next_is_begun(last: int | None) -> None:
    opened = Opened("application/pdf", 3, ranged=True)
    nothing = [Notice("PAGE_WITHOUT_TEXT", "", number) for number in (1, 3)]
    read: list[Opened | Page | Notice] = [
        opened,
        Page(1, ""),
        nothing[0],
        Page(2, "x"),
        Page(3, ""),
        nothing[1],
    ]

    assert messages(read, 1, last) == ["O", "P", "N", "P", "PND"]
    assert messages([opened, *read[3:]], 2, last) == ["O", "P", "PND"]
    assert messages(read[:3], 1, 1) == ["O", "PND"]


def test_what_is_read_as_a_whole_is_told_at_once_unless_it_is_long() -> None:
    opened = Opened("text/plain", None, ranged=False)
    long = Page(2, "x" * TOGETHER_BYTES)

    assert messages([opened, Page(1, "x")], 1, None) == ["OPD"]
    assert messages([opened, Page(1, "x"), long, Page(3, "x")], 1, None) == ["OPP", "PD"]


def test_child_ends_in_the_middle_of_its_work_when_nobody_is_there_to_ask() -> None:
    code = (
        "import sys, threading; from docmill.parse_child import end_with_asker\n"
        "end_with_asker()\n"
        "for line in sys.stdin: print(line, end='', flush=True)\n"
        "threading.Event().wait()"
    )
    asker, stdin = socket.socketpair()
    with stdin:
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=stdin.fileno(), stdout=subprocess.PIPE
        )
    with asker, child:
        assert child.stdout
        for request in (b"one\n", b"two\n", b"three\n"):
            asker.send(request)
            assert child.stdout.readline() == request
        asker.close()

        assert child.wait(30) == 0


def test_child_stays_warm_between_documents(parser: ParseProcess, short: Path) -> None:
    parser.start()
    pid = pid_of(parser)
    parser.start()

    list(run(parser, short))
    list(run(parser, short))

    assert pid_of(parser) == pid


def test_failure_of_a_file_leaves_the_child_alive(
    parser: ParseProcess, short: Path, tmp_path: Path
) -> None:
    parser.start()
    pid = pid_of(parser)
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(pdf("one")[:100])

    failed = failure(run(parser, broken))

    assert failed.code == "FILE_UNREADABLE"
    assert failed.detail.count(failed.kind.remedy) == 1
    assert_usable(parser, short)
    assert pid_of(parser) == pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_child_fails_its_document_and_no_other(
    parser: ParseProcess, short: Path, long: Path, number: signal.Signals
) -> None:
    parts = run(parser, long)
    first_page(parts)

    os.kill(pid_of(parser), number)
    failed = failure(parts)

    assert failed.code == "PARSER_DIED"
    assert f"signal {number.value} ({number.name}) on page " in failed.detail
    assert_usable(parser, short)


def test_child_whose_end_the_zygote_has_not_told_is_replaced_unnoticed(
    make: Make, zygote: Zygote, short: Path
) -> None:
    parser = make(ParseLimits())
    assert_usable(parser, short)
    child = psutil.Process(pid_of(parser))
    assert zygote.pid is not None
    os.kill(zygote.pid, signal.SIGSTOP)
    child.kill()
    until(lambda: child.status() == psutil.STATUS_ZOMBIE, "it has ended")
    until(lambda: child.num_threads() == 1, "so have its other threads, which keep its files open")
    threading.Timer(0.2, os.kill, (zygote.pid, signal.SIGCONT)).start()
    assert_usable(parser, short)


def test_child_killed_while_idle_is_replaced_unnoticed(parser: ParseProcess, short: Path) -> None:
    parser.start()
    pid = pid_of(parser)
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)])

    assert_usable(parser, short)
    assert pid_of(parser) != pid


def test_hanging_parser_is_ended_by_the_stall_limit(make: Make, short: Path, long: Path) -> None:
    parser = make(ParseLimits(stall_seconds=2))
    parts = run(parser, long)
    first_page(parts)

    os.kill(pid_of(parser), signal.SIGSTOP)
    failed = failure(parts)

    assert failed.code == "PARSER_STALLED"
    assert " on page " in failed.detail
    assert_usable(parser, short)
    parser.close()


def test_time_that_a_parser_takes_to_start_is_not_held_against_the_file(
    make: Make, zygote: Zygote, short: Path
) -> None:
    parser = make(ParseLimits(seconds=3, stall_seconds=3))
    zygote.start()
    assert zygote.pid is not None
    os.kill(zygote.pid, signal.SIGSTOP)
    parser.start()
    threading.Timer(4, os.kill, (zygote.pid, signal.SIGCONT)).start()

    assert_usable(parser, short)


def test_time_is_limited_as_a_whole(make: Make, short: Path, long: Path) -> None:
    parser = make(ParseLimits(seconds=2))
    parts = run(parser, long)
    first_page(parts)

    os.kill(pid_of(parser), signal.SIGSTOP)

    assert failure(parts).code == "PARSER_TIMEOUT"
    assert_usable(parser, short)
    parser.close()


def test_time_that_the_reader_takes_is_not_held_against_the_parser(make: Make, long: Path) -> None:
    parser = make(ParseLimits(seconds=2, stall_seconds=2))
    parts = run(parser, long)
    first_page(parts)

    NEVER.wait(2.5)  # what a slow database does between two pages

    assert len([part for part in parts if isinstance(part, Page)]) == 199
    parser.close()


def test_busy_parser_is_ended_by_the_cpu_limit(make: Make, short: Path, tmp_path: Path) -> None:
    busy = tmp_path / "busy.pdf"
    busy.write_bytes(pdf_of_many_strokes(5_000_000))
    parser = make(ParseLimits(cpu_seconds=0.2, cpu_seconds_per_page=0.1, memory_bytes=8 << 30))

    failed = failure(run(parser, busy))

    assert failed.code == "PARSER_TIMEOUT"
    assert "CPU" in failed.detail
    assert_usable(parser, short)
    parser.close()


def test_file_that_eats_memory_is_ended_by_the_memory_limit(
    make: Make, short: Path, tmp_path: Path
) -> None:
    hog = tmp_path / "hog.pdf"
    hog.write_bytes(pdf_that_calls_itself())
    parser = make(ParseLimits(memory_bytes=160 * MIB))

    failed = failure(run(parser, hog))

    assert failed.code == "PARSER_OUT_OF_MEMORY"
    assert_usable(parser, short)
    parser.close()


def test_long_text_passes_in_little_memory(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"A line about windmills, ropes and sails.\n" * 3_000_000)
    parser = make(ParseLimits(memory_bytes=110 * MIB))

    read = sum(len(part.text) for part in run(parser, path) if isinstance(part, Page))

    assert read > 120_000_000
    parser.close()


def test_too_much_text_is_refused(make: Make, short: Path, long: Path) -> None:
    parser = make(ParseLimits(output_bytes=100_000))

    assert failure(run(parser, long)).code == "OUTPUT_TOO_LARGE"
    assert_usable(parser, short)
    parser.close()


def test_stop_ends_the_parse_and_the_child(parser: ParseProcess, short: Path, long: Path) -> None:
    stop = threading.Event()
    parts = run(parser, long, stop=stop)
    first_page(parts)
    child = psutil.Process(pid_of(parser))

    stop.set()
    with pytest.raises(Stopped):
        list(parts)

    assert not child.is_running()
    assert_usable(parser, short)


def test_stop_is_heard_while_the_parser_is_silent(parser: ParseProcess, long: Path) -> None:
    stop = threading.Event()
    parts = run(parser, long, stop=stop)
    first_page(parts)
    os.kill(pid_of(parser), signal.SIGSTOP)
    threading.Timer(0.3, stop.set).start()

    with pytest.raises(Stopped):
        list(parts)


def test_closing_in_the_middle_leaves_a_working_parser(
    parser: ParseProcess, short: Path, long: Path
) -> None:
    parts = run(parser, long)
    first_page(parts)
    child = psutil.Process(pid_of(parser))

    parts.close()

    assert not child.is_running()
    assert_usable(parser, short)


def test_abandoned_parse_does_not_leak_into_the_next(
    parser: ParseProcess, short: Path, long: Path
) -> None:
    abandoned = run(parser, long)
    first_page(abandoned)

    assert_usable(parser, short)
    pid = pid_of(parser)
    del abandoned
    assert_usable(parser, short)
    assert pid_of(parser) == pid


def test_child_makes_way_after_enough_documents(make: Make, short: Path) -> None:
    parser = make(ParseLimits(requests_per_child=2))
    pids = []
    for _ in range(4):
        parser.start()
        pids.append(parser.pid)
        list(run(parser, short))

    assert pids[0] == pids[1]
    assert pids[2] == pids[3] != pids[0]
    parser.close()


def test_grown_child_makes_way(make: Make, short: Path) -> None:
    parser = make(ParseLimits(memory_bytes=48 * MIB))  # it has more than half when idle
    parser.start()
    pid = pid_of(parser)

    list(run(parser, short))

    assert pid_of(parser) != pid
    parser.close()


def test_child_and_zygote_end_with_their_user(tmp_path: Path) -> None:
    script = (
        "import sys; from docmill.parse_process import *\n"
        "zygote = parser_zygote(); parser = ParseProcess(ParseLimits(), zygote); parser.start()\n"
        "print(parser.pid, zygote.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    assert parent.stdin
    assert parent.stdout
    started = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]

    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()

    gone, _ = psutil.wait_procs(started, timeout=30)
    assert len(gone) == 2


def test_child_and_zygote_know_no_settings_and_no_secrets(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCMILL_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    zygote = parser_zygote()
    parser = ParseProcess(ParseLimits(), zygote)
    list(run(parser, short))

    for pid in (zygote.pid, parser.pid):
        environment = psutil.Process(pid).environ()

        assert not any("secret" in value for value in environment.values())
        assert not any(name.startswith("DOCMILL") for name in environment)
    parser.close()
    zygote.close()


def opened_by(pid: int | None) -> list[str]:
    """What a process has open but its stderr, which a zygote has of us."""
    links = [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.name != "2"]
    return sorted(link.readlink().name.split(":")[0] for link in links)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_child_and_zygote_have_nothing_open_but_their_pipes(short: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)), short.open() as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - takes it by position only
        zygote = parser_zygote()
        parsers = [ParseProcess(ParseLimits(), zygote) for _ in range(3)]
        for parser in parsers:
            list(run(parser, short))

        children = [opened_by(parser.pid) for parser in parsers]
        opened = opened_by(zygote.pid)

    for parser in parsers:
        parser.close()
    zygote.close()
    assert children == [["null", "pipe", "socket", "statm"]] * 3
    # The pipe that wakes it, and the sockets of wishes and of three parsers' ties.
    assert opened == ["null", "pipe", "pipe", *["socket"] * 4]


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux")
def test_memory_is_allowed_on_top_of_what_is_mapped_by_then() -> None:
    code = (
        "import mmap, resource; from docmill.parse_child import Limits\n"
        "limits, allowed = Limits(), []\n"
        "for _ in range(2):\n"
        "    limits.allow_memory(1 << 30)\n"
        "    allowed.append(resource.getrlimit(resource.RLIMIT_AS)[0])\n"
        "    held = mmap.mmap(-1, 1 << 26)\n"
        "print(allowed[1] - allowed[0] >= 1 << 26)"
    )

    assert subprocess.check_output([sys.executable, "-c", code]) == b"True\n"


def test_ranges_of_one_open_file_are_read_side_by_side(make: Make, long: Path) -> None:
    with long.open("rb") as file:
        ranges = [
            make(ParseLimits()).parse(file, "long", first=first, last=first + 99, stop=NEVER)
            for first in (1, 101)
        ]
        parts = [part for both in zip(*ranges, strict=True) for part in both]

    assert {part for part in parts if isinstance(part, Page)} == {
        part for part in in_place(long) if isinstance(part, Page)
    }


def test_close_ends_the_child_and_may_be_repeated(parser: ParseProcess, short: Path) -> None:
    parser.start()
    child = psutil.Process(pid_of(parser))

    parser.close()
    parser.close()

    assert not child.is_running()
    assert parser.pid is None
    assert_usable(parser, short)


def test_works_from_a_worker_thread_that_ends(parser: ParseProcess, short: Path) -> None:
    thread = threading.Thread(target=parser.start)
    thread.start()
    thread.join()

    assert_usable(parser, short)


# the zygote ------------------------------------------------------------------------------


def test_parsers_share_what_their_zygote_has_imported(
    zygote: Zygote, make: Make, short: Path
) -> None:
    parser = make(ParseLimits())
    list(run(parser, short))
    child = psutil.Process(pid_of(parser))

    assert child.ppid() == zygote.pid
    assert child.memory_full_info().uss < 12 * MIB  # started by itself, it has more than 20


def test_signals_to_all_end_neither_zygote_nor_parser(
    zygote: Zygote, make: Make, short: Path
) -> None:
    parser = make(ParseLimits())
    list(run(parser, short))

    assert zygote.pid is not None
    assert parser.pid is not None
    for sent in (signal.SIGINT, signal.SIGTERM):  # as a terminal and a service manager send them
        os.kill(zygote.pid, sent)
    assert os.getpgid(parser.pid) == parser.pid
    assert_usable(parser, short)


def test_zygote_has_one_thread_and_no_parser_that_is_gone(
    zygote: Zygote, make: Make, short: Path
) -> None:
    parser = make(ParseLimits())
    list(run(parser, short))
    parser.close()

    process = psutil.Process(zygote.pid)

    assert process.num_threads() == 1
    assert process.children() == []


def test_killed_zygote_takes_its_parsers_with_it_and_is_replaced(short: Path, long: Path) -> None:
    zygote = parser_zygote()
    parser = ParseProcess(ParseLimits(), zygote)
    parts = run(parser, long)
    first_page(parts)
    gone = [psutil.Process(zygote.pid), psutil.Process(pid_of(parser))]

    gone[0].kill()

    assert failure(parts).code == "PARSER_DIED"
    assert len(psutil.wait_procs(gone, timeout=30)[0]) == 2
    assert_usable(parser, short)
    assert zygote.pid != gone[0].pid
    parser.close()
    zygote.close()


def test_parser_whose_user_let_go_of_it_is_ended_and_its_siblings_are_not(
    make: Make, short: Path, long: Path
) -> None:
    left, other = make(ParseLimits()), make(ParseLimits())
    parts = run(left, long)
    first_page(parts)
    rest = run(other, long)
    first_page(rest)
    child = psutil.Process(pid_of(left))
    child.suspend()  # so that it can't hear of it itself

    parts.close()

    assert not child.is_running()
    assert len([part for part in rest if isinstance(part, Page)]) == 199
    assert_usable(left, short)


def test_parser_is_ended_also_while_its_zygote_stands_still(
    monkeypatch: pytest.MonkeyPatch, long: Path
) -> None:
    monkeypatch.setattr("docmill.zygote.EXIT_SECONDS", 0.1)
    zygote = parser_zygote()
    parser = ParseProcess(ParseLimits(), zygote)
    parts = run(parser, long)
    first_page(parts)
    child = psutil.Process(pid_of(parser))
    psutil.Process(zygote.pid).suspend()
    child.suspend()  # so that it can't hear of it itself

    parts.close()

    until(lambda: child.status() == psutil.STATUS_ZOMBIE, "it has ended")
    zygote.close()


def test_processes_that_inherit_its_socket_share_a_zygote(short: Path) -> None:
    zygote = parser_zygote()
    zygote.start()
    script = (
        "import sys, threading; from docmill.parse_process import *\n"
        "from docmill.zygote import SharedZygote\n"
        "parser = ParseProcess(ParseLimits(), SharedZygote(int(sys.argv[1])))\n"
        "with open(sys.argv[2], 'rb') as file:\n"
        "    read = parser.parse(file, 'a', first=1, last=None, stop=threading.Event())\n"
        "    print(len(list(read)), parser.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    socket_here = zygote.wishes.fileno()
    users = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(socket_here), str(short)],
            pass_fds=[socket_here],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    parsers = []
    for user in users:
        assert user.stdout
        parts, pid = user.stdout.readline().split()
        assert int(parts) == len(in_place(short))
        parsers.append(psutil.Process(int(pid)))

    assert {parser.ppid() for parser in parsers} == {zygote.pid}

    users[0].kill()
    assert len(psutil.wait_procs(parsers[:1], timeout=30)[0]) == 1
    assert parsers[1].is_running()

    users[1].communicate("")
    users[0].communicate()
    zygote.close()
