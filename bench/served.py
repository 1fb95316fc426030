"""docmill as a process of its own, and how much memory its whole tree takes at most."""

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

SERVES = re.compile(r"docmill serves (http://\S+)")
SAMPLE_SECONDS = 0.1
MIB = 1 << 20


class PeakMemory:
    """Samples the private and shared memory of a process tree; a shared page counts once (PSS)."""

    def __init__(self, root: int) -> None:
        self._root = psutil.Process(root)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self._now()
        self.peak = self.before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self._now())

    def _now(self) -> int:
        total = 0
        for process in [self._root, *self._root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
        return total

    def __str__(self) -> str:
        return f"{self.before / MIB:.0f} MiB idle, {self.peak / MIB:.0f} MiB at most"


@contextlib.contextmanager
def served(data_dir: Path, *arguments: str) -> Iterator[tuple[str, int]]:
    """A served docmill: its address and its process id."""
    command = [sys.executable, "-m", "docmill", "serve", "--port", "0", "--data-dir", str(data_dir)]
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield _address(process), process.pid
        finally:
            process.terminate()


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if match := SERVES.search(line):
            # Somebody has to keep reading: a full pipe would stop the server.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return match[1]
    raise SystemExit("docmill did not start")
