"""docmill as users run it: a started process, its address, and real signals to end it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import httpx2
import psutil

from forked import Fork

SERVES = re.compile(r"docmill serves (http://[^\s\"]+)")
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02
# What stays as it is once it is there is looked for ever less often: a question costs both sides
# the time of a processor that the answer is waiting for.
SLOWER = 1.25
SLOWEST_SECONDS = 0.15

T = TypeVar("T")


def until(
    look: Callable[[], T | None],
    what: str,
    patience: float = PATIENCE_SECONDS,
    *,
    stays: bool = False,
) -> T:
    """What `look` sees, as soon as it sees something. The patience is for a broken docmill only.

    What `stays` can't be missed, and is looked for less often.
    """
    ends = time.monotonic() + patience
    pause = POLL_SECONDS
    while time.monotonic() < ends:
        if (seen := look()) is not None and seen is not False:
            return seen
        time.sleep(pause)
        if stays:
            pause = min(SLOWEST_SECONDS, pause * SLOWER)
    raise AssertionError(f"did not happen in {patience:g} s: {what}")


class Process(Protocol):
    """What tests do with a process: a `subprocess.Popen`, or a fork (`forked.py`)."""

    stdout: IO[str] | None
    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


def inherited() -> dict[str, str]:
    """This process' environment without docmill's settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith("DOCMILL_")}


class Started:
    """A docmill process, with everything it said.

    It is a fork that has docmill's imports made, unless it is to make them `anew`, by another
    `python`, in another `folder`, or `within` a command that becomes it, such as one that enters
    another network first.
    """

    def __init__(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
        within: Sequence[str] = (),
        folder: Path | None = None,
        anew: bool = False,
    ) -> None:
        whole = {**inherited(), **(env or {})}
        self.process: Process
        if anew or within or folder or python != sys.executable:
            self.process = _typed([*within, python, "-m", "docmill", *arguments], whole, folder)
        else:
            self.process = Fork(arguments, whole)
        _running.add(self)
        self.began = time.monotonic()
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())

    def says(self, pattern: str) -> re.Match[str]:
        """Wait for a line, and return what matched in it."""

        def look() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            if ended:
                self._reader.join(PATIENCE_SECONDS)  # its last words may be on their way
            if match := re.search(pattern, "\n".join(self.said)):
                return match
            assert not ended, "it ended:\n" + "\n".join(self.said)
            return None

        return until(look, f"it says {pattern!r}")

    def terminate(self) -> int:
        """SIGTERM, then wait for the end; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL: the process has no last word."""
        self.process.kill()
        self.wait()

    def go_on(self) -> None:
        """Let it go on when it stands still at its failpoint, or end before.

        It says that it is there before it stops itself. A SIGCONT between the two is lost, and it
        would stand still for ever.
        """
        until(self._stands_still_or_ended, "it stands still")
        self.process.send_signal(signal.SIGCONT)

    def _stands_still_or_ended(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            stopped = psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED
            return self.process.poll() is not None or stopped
        return True

    def wait(self) -> int:
        """Wait for the end; the exit status."""
        status = self.process.wait(PATIENCE_SECONDS)
        _running.discard(self)
        self._reader.join(PATIENCE_SECONDS)  # children may hold its output for a moment longer
        # Closing what is being read would wait for ever.
        assert not self._reader.is_alive(), "some child of it holds its output still"
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


_running: set[Started] = set()


def end_what_is_left() -> None:
    """End what tests that failed have left running, and with it all that it has started."""
    for started in list(_running):
        started.kill()


def _typed(
    command: Sequence[str], env: Mapping[str, str], folder: Path | None
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=folder
    )


def command_of(process: psutil.Process) -> list[str]:
    """Its command line; nothing where it has ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


class Docmill:
    """A served docmill, and the few calls that most tests make."""

    def __init__(
        self,
        data_dir: Path | None,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        ready: bool = True,
        python: str = sys.executable,
        folder: Path | None = None,
        anew: bool = False,
    ) -> None:
        where = ["--data-dir", str(data_dir)] if data_dir else []
        command = ("serve", "--port", "0", *where, *arguments)
        self.started = Started(*command, env=env, python=python, folder=folder, anew=anew)
        self.url = self.started.says(SERVES.pattern)[1]
        self.http = httpx2.Client(base_url=self.url, timeout=PATIENCE_SECONDS)
        if ready:
            until(
                lambda: self.http.get("/readyz").status_code == 200, "docmill is ready", stays=True
            )

    def connect_again(self) -> None:
        """Go on over new connections."""
        self.http.close()
        self.http = httpx2.Client(base_url=self.url, timeout=PATIENCE_SECONDS)

    def upload(self, name: str, content: bytes, **fields: str) -> str:
        """Upload a file that must be accepted; the document's id."""
        answer = self.http.post("/documents", files={"file": (name, content)}, data=fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["document_id"])

    def status(self, document_id: str) -> dict[str, Any]:
        """The document's status now."""
        answer = self.http.get(f"/documents/{document_id}/status")
        assert answer.status_code == 200, answer.text
        shape: dict[str, Any] = answer.json()
        return shape

    def begun(self, document_id: str) -> None:
        """Wait until somebody works on the document."""
        until(lambda: self.status(document_id)["status"] == "processing", f"{document_id} is begun")

    def ended(self, document_id: str) -> dict[str, Any]:
        """The document's status, as soon as it has ended."""

        def look() -> dict[str, Any] | None:
            status = self.status(document_id)
            return status if status["done"] else None

        return until(look, f"{document_id} ends", stays=True)

    def completed(self, document_id: str) -> dict[str, Any]:
        """The document's status, as soon as it has ended well."""
        status = self.ended(document_id)
        assert status["status"] == "completed", json.dumps(status, indent=1)
        return status

    def search(self, query: str, **options: Any) -> list[dict[str, Any]]:
        """The hits for a query."""
        answer = self.http.post("/search", json={"query": query, **options})
        assert answer.status_code == 200, answer.text
        hits: list[dict[str, Any]] = answer.json()["hits"]
        return hits

    @contextlib.contextmanager
    def frozen_workers(self) -> Iterator[None]:
        """Its worker processes stand still for the length of a block, shorter than their leases."""
        with contextlib.ExitStack() as frozen:
            while still := [process for process in self._work() if process.status() != "stopped"]:
                for process in still:  # what forks comes first, so that no more come behind
                    process.suspend()
                    frozen.callback(process.resume)
            yield

    def workers(self) -> list[psutil.Process]:
        """Its worker processes. They have the command line of the one that they are forked from."""
        work = self._work()
        return [
            process
            for process in work
            if "--forked" not in command_of(process) or process.parent() in work
        ]

    def _work(self) -> list[psutil.Process]:
        below = psutil.Process(self.started.process.pid).children(recursive=True)
        return [process for process in below if "worker" in command_of(process)]

    def stop(self) -> int:
        """End it as a service manager does."""
        self.http.close()
        return self.started.terminate()
