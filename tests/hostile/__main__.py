"""Give a served docmill every hostile file, one after the other, and print how each ended.

The limits are those that docmill has when nobody sets any. The exit status is 1 where a file did
not end as its table says.
"""

import argparse
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from hostile import CASES
from hostile.cases import Case, end_of
from running import Docmill, until

PATIENCE_SECONDS = 1800.0
LOOK_SECONDS = 0.02
ONE_AT_A_TIME = {"DOCMILL_WORKERS": "1", "DOCMILL_SLOTS": "1", "DOCMILL_BACKOFF_SECONDS": "0.1"}
ROW = "{:36} | {:44} | {:>5} | {:>7} | {:>10} | {:>10}"


class Peaks(threading.Thread):
    """Watches the memory of docmill's worker and parser; `taken` gives the peaks since the last."""

    def __init__(self, docmill: psutil.Process) -> None:
        super().__init__(name="peaks", daemon=True)
        self._docmill = docmill
        self._peaks = {"worker": 0, "parser": 0}

    def run(self) -> None:
        with suppress(psutil.NoSuchProcess):  # docmill has ended
            while True:
                for process in self._docmill.children(recursive=True):
                    self._look(process)
                time.sleep(LOOK_SECONDS)

    def _look(self, process: psutil.Process) -> None:
        try:
            command = process.cmdline()
            resident = process.memory_info().rss
        except psutil.Error:  # it ended meanwhile
            return
        role = "parser" if "docmill.parse_zygote" in command else "worker"
        if role == "parser" or "worker" in command:
            self._peaks[role] = max(self._peaks[role], resident)

    def taken(self) -> dict[str, int]:
        taken, self._peaks = self._peaks, {"worker": 0, "parser": 0}
        return taken


def run(docmill: Docmill, peaks: Peaks, case: Case) -> bool:
    """Upload one file, wait for its end, print a row; whether it ended as it should."""
    content = case.make()
    peaks.taken()
    began = time.monotonic()
    document_id = docmill.upload(case.name, content)

    def ended() -> dict[str, Any] | None:
        status = docmill.status(document_id)
        return status if status["done"] else None

    status = until(ended, f"{case.name} ends", PATIENCE_SECONDS)
    seconds = time.monotonic() - began
    end = end_of(status)
    taken = peaks.taken()
    mib = [f"{taken[role] >> 20} MiB" for role in ("parser", "worker")]
    print(ROW.format(case.name, end, tries(docmill, document_id), f"{seconds:.1f} s", *mib))
    if end not in case.ends:
        print(f"  NOT SO: expected {' or '.join(sorted(case.ends))}")
    return end in case.ends


def tries(docmill: Docmill, document_id: str) -> int:
    """How often it was tried to read the document, or the part of it that took most tries."""
    jobs = docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    return max(len(job["attempts"]) for job in jobs if job["stage"] == "parse")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of files; all without any")
    wanted = parser.parse_args().names
    chosen = [
        case for name, case in CASES.items() if not wanted or any(part in name for part in wanted)
    ]
    print(ROW.format("file", "ended", "tries", "time", "parser", "worker"))
    with tempfile.TemporaryDirectory(prefix="docmill-hostile-") as folder:
        docmill = Docmill(Path(folder) / "data", env=ONE_AT_A_TIME)
        peaks = Peaks(psutil.Process(docmill.started.process.pid))
        peaks.start()
        right = [run(docmill, peaks, case) for case in chosen]
        docmill.stop()
    print(f"{sum(right)} of {len(right)} ended as they should")
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
