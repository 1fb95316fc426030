"""Let machines work on many documents and fail, and say what it came to; 1 if anything is wrong."""

import argparse
import sys

from machines.network import why_impossible
from machines.world import MACHINES, suffer, world


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    chosen = parser.parse_args()
    if reason := why_impossible():
        print(f"This needs network namespaces: {reason}.")
        return 1
    with world() as started:
        report = suffer(started, chosen.documents)
    print(f"{report.documents} documents on {len(MACHINES)} machines: {report.seconds:.0f} s")
    print(f"one was cut off for {report.cut_off_seconds:.1f} s", end="")
    print(f" and went on {report.back_seconds:.1f} s after that")
    for outcome, count in report.attempts.most_common():
        print(f"{count:8} attempts {outcome}")
    for machine, count in sorted(report.succeeded.items()):
        print(f"{count:8} jobs done by {machine}")
    for violation in report.violations:
        print(f"NOT SO: {violation}")
    print("everything held" if not report.violations else f"{len(report.violations)} did not hold")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
