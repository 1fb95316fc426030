"""`make demo`: docmill starts, a PDF goes in, becomes searchable and is found.

Only what a user has: the `docmill` commands, called as in a terminal.
"""

import argparse
import contextlib
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

DOCMILL = (sys.executable, "-m", "docmill")
ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "src" / "docmill" / "sample" / "how-docmill-works.pdf"
QUERY = "what happens when a worker is killed"


def main() -> int:
    """Show the whole path, then leave the page open; the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", default="8000")
    arguments.add_argument("--data-dir", default=str(ROOT / ".docmill"))
    arguments.add_argument("--exit", action="store_true", help="end after the search")
    chosen = arguments.parse_args()
    serve = [*DOCMILL, "serve", "--port", chosen.port, "--data-dir", chosen.data_dir]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as server:
        try:
            url = address(server)
            return show(url) if chosen.exit else show(url) or stay(server, url)
        except KeyboardInterrupt:
            return 0
        finally:
            server.send_signal(signal.SIGTERM)


def address(server: "subprocess.Popen[str]") -> str:
    """Where it serves, as soon as its log says so; later lines are shown as they come."""
    assert server.stderr is not None
    for line in server.stderr:
        print(line, end="", flush=True)
        if "docmill serves " in line:
            # Somebody has to keep reading: a full pipe would stop the server.
            threading.Thread(target=pass_on, args=(server.stderr,), daemon=True).start()
            return line.split()[-1]
    raise SystemExit(server.wait())


def pass_on(log: TextIO) -> None:
    """Show what the server goes on to say."""
    for line in log:
        print(line, end="", flush=True)


def show(url: str) -> int:
    """Upload the sample, wait for it, and search it."""
    for words in (["upload", "--wait", SAMPLE.name], ["search", "--limit", "2", QUERY]):
        print(f"\n$ {shlex.join(['docmill', *words])}", flush=True)
        called = [*DOCMILL, *words, "--url", url]
        if status := subprocess.run(called, cwd=SAMPLE.parent, check=False).returncode:
            return status
    return 0


def stay(server: "subprocess.Popen[str]", url: str) -> int:
    """Leave the page open until somebody presses Ctrl-C."""
    print(f"\nThe page is at {url}. Drop your own files there; Ctrl-C ends docmill.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
