"""What comes out of a run: a table to read, JSON to keep, plots to look at."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from harness import Row

from docmill import __version__

HERE = Path(__file__).parent
HEAD = (
    "| line | docmill | against | ratio, median [lowest-highest] | target | reached |\n"
    "|---|---|---|---|---|---|"
)


def table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    return "\n".join([HEAD, *map(_shown, rows)])


def _shown(row: Row) -> str:
    against = f"{row.against}: {_number(row.theirs)} {row.unit}" if row.against else ""
    ratio = _ratio(row) if row.against else ""
    target = str(row.target) if row.target else ""
    value = row.judged
    reached = ""
    if row.target is not None and value is not None:
        reached = "yes" if row.target.reached(value) else "**no**"
    note = f" ({row.note})" if row.note else ""
    ours = f"{_number(row.ours)} {row.unit}"
    return f"| {row.what}{note} | {ours} | {against} | {ratio} | {target} | {reached} |"


def _number(values: Sequence[float]) -> str:
    median = statistics.median(values)
    return f"{median:,.0f}" if median >= 100 else f"{median:.3g}"


def _ratio(row: Row) -> str:
    values = row.compared
    if not values:
        return ""
    sign = "+" if row.target is not None and row.target.difference else ""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{sign}{median:.2f} [{low:.2f}-{high:.2f}]"


def machine() -> dict[str, Any]:
    """On what this ran."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "docmill": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": os.getloadavg()[0],
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        said = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return said.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def keep(folder: Path, on: dict[str, Any], rows: Sequence[Row], skipped: dict[str, str]) -> Path:
    """Write `results.json` and the table beside it; the JSON's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    shape = {
        "machine": on,
        "rows": [{**asdict(row), "compared": row.compared} for row in rows],
        "skipped": skipped,
    }
    path.write_text(json.dumps(shape, indent=1), encoding="utf-8")
    (folder / "table.md").write_text(table(rows) + "\n", encoding="utf-8")
    return path


def plot(results: Path, python: Path | None) -> str:
    """Draw the plots by the rivals' Python, which has the library; a sentence about it."""
    if python is None:
        return "No plots: bench/requirements.txt is not installed."
    command = [str(python), str(HERE / "plot.py"), str(results)]
    drawn = subprocess.run(command, capture_output=True, text=True, check=False)
    if drawn.returncode:
        return f"No plots: {drawn.stderr.strip().splitlines()[-1]}"
    return drawn.stdout.strip()
