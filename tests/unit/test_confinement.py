"""A parser that a file has taken over finds nothing to take: real attempts, in the real process."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from docmill import parse_process
from docmill.doctor import confined
from docmill.errors import Failure
from docmill.model import Page
from docmill.parse_process import ParseLimits, ParseProcess
from docmill.zygote import Program, Zygote

TAKEN = parse_process.confinement()
LANDLOCK = int(TAKEN["files"].removeprefix("Landlock ") or 0)

without_landlock = pytest.mark.skipif(not LANDLOCK, reason="this kernel has no Landlock")
without_seccomp = pytest.mark.skipif(not TAKEN["network"], reason="no seccomp here")
without_scopes = pytest.mark.skipif(LANDLOCK < 6, reason="this kernel's Landlock leaves signals")


@pytest.fixture(scope="module")
def hijacked() -> Iterator[ParseProcess]:
    environment = dict(parse_process.child_environment())
    environment["PYTHONPATH"] += os.pathsep + str(Path(__file__).parents[1])
    command = (*parse_process.PYTHON, "hijacked_parser")
    forks = Zygote(Program("hijacked parsers", command, environment, folder="/"))
    process = ParseProcess(ParseLimits(), forks)
    yield process
    process.close()
    forks.close()


def outcome(hijacked: ParseProcess, code: str) -> str:
    with tempfile.TemporaryFile() as file:
        file.write(code.encode())
        file.flush()
        parts = hijacked.parse(file, "code", first=1, last=None, stop=threading.Event())
        return next(part.text for part in parts if isinstance(part, Page))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("another owner's document")
    path.chmod(0o666)
    return path


def test_attempts_are_really_made(hijacked: ParseProcess) -> None:
    assert outcome(hijacked, "assert 6 * 7 == 42") == "done"


@pytest.mark.parametrize(
    "attempt",
    [
        "open({path!r})",
        "open({path!r}, 'a')",
        "open({path!r} + '.new', 'w')",
        "import os; os.unlink({path!r})",
        "import os; os.rename({path!r}, {path!r} + '.new')",
        "import os; os.truncate({path!r}, 0)",
        "import os; os.symlink('/', {path!r} + '.new')",
        "import os; os.mkdir({path!r} + '.new')",
        "import os; os.listdir('/')",
        "import os; open(os.__file__, 'a')",
        "open('/proc/self/environ')",
        "import os; open(f'/proc/{{os.getppid()}}/environ')",
        "import os; os.listdir(f'/proc/{{os.getppid()}}/fd')",
    ],
)
@without_landlock
def test_no_file_but_its_own_is_open_to_it(
    hijacked: ParseProcess, secret: Path, attempt: str
) -> None:
    assert outcome(hijacked, attempt.format(path=str(secret))).startswith("refused")
    assert [path.name for path in secret.parent.iterdir()] == ["secret"]
    assert secret.read_text() == "another owner's document"


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('127.0.0.1', {port}))",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "import socket; socket.socket(socket.AF_INET6)",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.execve(os.memfd_create('x'), ['x'], {{}})",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['/bin/true'])",
        "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
        "import os; os.chmod(0, 0o777)",
    ],
)
@without_seccomp
def test_no_network_and_no_program_is_open_to_it(hijacked: ParseProcess, attempt: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said = outcome(hijacked, attempt.format(port=listener.getsockname()[1]))
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()

    assert said.startswith("refused")


@without_scopes
def test_no_process_but_itself_hears_its_signals(hijacked: ParseProcess) -> None:
    assert outcome(hijacked, "import os; os.kill(os.getppid(), 0)").startswith("refused")
    assert outcome(hijacked, "import os; os.kill(os.getpid(), 0)") == "done"


@without_landlock
def test_threads_are_no_way_out(hijacked: ParseProcess) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor() as pool: pool.submit(open, '/etc/passwd').result()"
    )

    assert outcome(hijacked, code).startswith("refused")


def test_what_python_loads_late_is_still_there(hijacked: ParseProcess) -> None:
    assert outcome(hijacked, "import encodings.cp775; 'ž'.encode('cp775')") == "done"


@pytest.mark.parametrize(
    "answer",
    ["b'no frame'", "FRAME.pack(b'P', 1, 1 << 30)", "FRAME.pack(b'P', 1, 1) + bytes([255])"],
)
def test_answer_that_makes_no_sense_ends_its_parser(hijacked: ParseProcess, answer: str) -> None:
    code = f"import os; from docmill.parse_child import FRAME; os.write(3, {answer})"

    with pytest.raises(Failure) as caught:
        outcome(hijacked, code)

    assert caught.value.code == "PARSER_DIED"
    assert "made no sense" in caught.value.detail


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="must run as root")
def test_root_becomes_nobody_where_nobody_can_read_the_library() -> None:
    code = "import ctypes, os; from docmill.confinement import give_up_root as give_up\n"
    code += "print(give_up(ctypes.CDLL(None), ['/usr']), os.getresuid(), os.getresgid())"

    said = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert said == f"nobody {(65534,) * 3} {(65534,) * 3}\n"


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="must run as root")
def test_root_keeps_no_right_of_root_where_nobody_can_not(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    code = "import ctypes, sys; from docmill.confinement import give_up_root as give_up\n"
    code += (
        "print(give_up(ctypes.CDLL(None), sys.argv[1:])); print(open('/proc/self/status').read())"
    )

    said = subprocess.check_output([sys.executable, "-c", code, str(tmp_path)], text=True)

    assert said.startswith("no capabilities\n")
    assert "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n" in said


def test_doctor_says_what_is_taken_away_and_what_is_left() -> None:
    everything = {"files": "Landlock 7", "network": "seccomp", "root": "nobody"}
    nothing = dict.fromkeys(everything, "")

    whole = confined(everything, "linux")
    partly = confined({**everything, "files": ""}, "linux")

    assert (whole.ok, whole.remedy) == (True, "")
    assert whole.detail == "taken away: files (Landlock 7), network (seccomp), root (nobody)."
    assert (partly.ok, confined(nothing, "darwin").ok) == (False, True)
    assert partly.detail.endswith("left: files.")
    assert "Linux 5.13" in partly.remedy
