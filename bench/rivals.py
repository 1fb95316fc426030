"""The rivals: their packages live in a virtual environment of their own, never in docmill's.

`make bench` fills it from `requirements.txt`, one package after the other, so that one that does
not install here costs its own lines only. Each rival is a script in `rival/` that runs in that
environment and prints one JSON object.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from harness import Skipped

HERE = Path(__file__).parent
PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"


def python() -> Path | None:
    """The interpreter that has the rivals' packages."""
    return PYTHON if PYTHON.exists() else None


def require(package: str) -> Path:
    """The interpreter, where it has this package.

    Raises:
        Skipped: it has not, and how to get it.
    """
    if not PYTHON.exists():
        raise Skipped("bench/requirements.txt is not installed; `make bench` does so")
    look = subprocess.run([PYTHON, "-c", f"import {package}"], capture_output=True, check=False)
    if look.returncode:
        raise Skipped(f"{package} does not install or load here")
    return PYTHON


def run(script: str, package: str, **options: Any) -> Any:
    """What a rival's script found out, given its options as one JSON object.

    Raises:
        Skipped: its package is not here.
    """
    command = [str(require(package)), str(HERE / "rival" / f"{script}.py"), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
