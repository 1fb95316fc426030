"""Run the benchmarks: each line beside its limit or its rivals, in turns, on this machine.

python bench [LINE…] [--quick] [--rounds N] [--share PART] [--out FOLDER]
"""

import argparse
import importlib
import sys
import tempfile
import traceback
from pathlib import Path

import report
import rivals
from harness import Bench, Row, Skipped, is_calm

# In this order: what says most comes first.
LINES = (
    "post_small",
    "one_page",
    "corpus",
    "queue_alone",
    "status_load",
    "claim_backlog",
    "search_quality",
    "small_files",
    "upload",
    "long_pdf",
    "slow_embedder",
    "workers",
    "page",
)


def main() -> None:
    """Run what was asked for, and say what came out."""
    chosen = arguments()
    machine = report.machine()
    if not is_calm():
        load = machine["load_before"]
        print(f"This machine is busy (load {load:.1f}): the numbers will be noise.", flush=True)
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    for name in chosen.lines or LINES:
        try:
            rows += run_line(name, chosen)
        except Skipped as reason:
            skipped[name] = str(reason)
            print(f"{name} is skipped: {reason}", flush=True)
        except Exception as error:  # noqa: BLE001 - the other lines have their own truth
            traceback.print_exc()
            skipped[name] = f"it failed: {str(error).partition(chr(10))[0] or type(error).__name__}"
        results = report.keep(chosen.out, machine, rows, skipped)
    print("\n" + report.table(rows))
    print(f"\nKept in {results}. {report.plot(results, rivals.python())}")
    if any(reason.startswith("it failed") for reason in skipped.values()):
        sys.exit(f"not all lines ran: {skipped}")


def run_line(name: str, chosen: argparse.Namespace) -> list[Row]:
    """A line's rows, from a folder of its own."""
    module = importlib.import_module(name)
    print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
    with tempfile.TemporaryDirectory(prefix="docmill-bench-") as folder:
        bench = Bench(Path(folder), chosen.rounds, chosen.quick, rivals.python(), chosen.share)
        return list(module.run(bench))


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"of {', '.join(LINES)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the bench")
    parser.add_argument("--rounds", type=int, default=3, help="of each line (3)")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of each line's data, to see growth"
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="for the results")
    chosen = parser.parse_args()
    if unknown := set(chosen.lines) - set(LINES):
        parser.error(f"no such line: {', '.join(sorted(unknown))}")
    return chosen


if __name__ == "__main__":
    main()
