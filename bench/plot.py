"""Draw what a run came to: ratios against their targets, and throughput over the backlog.

    python bench/plot.py build/bench/results.json

Runs in the rivals' environment, which has the library, and knows nothing but the JSON.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import pygal
from pygal.style import CleanStyle

Rows = list[dict[str, Any]]
# The factors that are drawn: a line that is a thousand times better than its target hides the rest.
DRAWN = (0.1, 20)


def main() -> None:
    """Write SVG files beside the results, and say which."""
    results = Path(sys.argv[1])
    rows: Rows = json.loads(results.read_text(encoding="utf-8"))["rows"]
    drawn = [draw(results.parent, rows) for draw in (ratios, backlog)]
    print(f"Plots: {', '.join(str(path) for path in drawn if path) or 'nothing to draw'}")


def ratios(folder: Path, rows: Rows) -> Path | None:
    """How much better than its target each line is, by a factor: below 1 it is missed."""
    bars = []
    for row in rows:
        target = row["target"]
        if target is None or target["difference"]:
            continue
        values = row["compared"] if row["against"] else row["ours"]
        if not values:
            continue
        value = statistics.median(values)
        factor = target["bound"] / value if target["at_most"] else value / target["bound"]
        against = f" / {row['against']}" if row["against"] else ""
        bars.append((row["what"] + against, factor))
    if not bars:
        return None
    chart = pygal.HorizontalBar(
        style=CleanStyle,
        js=[],
        show_legend=False,
        logarithmic=True,
        title="Each line beside its target (1 is the target, more is better)",
        height=80 + 34 * len(bars),
        width=1100,
        truncate_label=75,
        range=DRAWN,
        zero=DRAWN[0],
        print_values=True,
        formatter=lambda value: f"{value:.2f}",
    )
    chart.x_labels = [what for what, _ in reversed(bars)]
    colors = {True: "#2a7d4f", False: "#b3452c"}
    chart.add("", [bar(value, colors[value >= 1]) for _, value in reversed(bars)])
    path = folder / "ratios.svg"
    chart.render_to_file(str(path))
    return path


def bar(value: float, color: str) -> dict[str, Any]:
    """A bar that says its value, and ends where the drawing does."""
    least, most = DRAWN
    return {
        "value": min(max(value, least), most),
        "color": color,
        "formatter": lambda _: f"{value:.2f}",
    }


def backlog(folder: Path, rows: Rows) -> Path | None:
    """The time of a claim over the length of the queue."""
    points = sorted(
        (row["at"], statistics.median(row["ours"]))
        for row in rows
        if row["line"] == "claim_backlog" and row["at"] is not None
    )
    if not points:
        return None
    chart = pygal.XY(
        style=CleanStyle,
        js=[],
        show_legend=False,
        title="Claims per second of one worker, over the jobs in the queue",
        x_title="jobs that wait",
        y_title="claims per second",
        width=900,
        height=420,
        range=(0, 1.15 * max(rate for _, rate in points)),
    )
    chart.add("docmill", points)
    path = folder / "backlog.svg"
    chart.render_to_file(str(path))
    return path


if __name__ == "__main__":
    main()
