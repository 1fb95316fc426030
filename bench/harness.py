"""Rounds in which every side runs once, and what their numbers come to.

A line is a module with a function `run(bench)` that yields rows. In a round all sides run one after
the other, and the next round begins with another of them: what disturbs the machine for a while
disturbs all alike, and nobody is always the one who finds the caches warm. Ratios are taken within
a round.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

OURS = "docmill"

# A side's numbers of one round, by what they measure.
Numbers = Mapping[str, float]
Side = Callable[[int], Numbers]
Samples = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, slots=True)
class Bench:
    """How much is asked of this run. `folder` is for whatever a line needs, and goes at the end.

    `rival_python` has the rivals' packages; None where they could not be installed. `share` is how
    much of its data a line takes, to see how it grows.
    """

    folder: Path
    rounds: int = 3
    quick: bool = False
    rival_python: Path | None = None
    share: float = 1.0

    def size(self, full: int, quick: int) -> int:
        """The size to take: a quick one is to try the bench itself, its numbers mean little."""
        return quick if self.quick else max(1, round(full * self.share))


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of a row, as the issue of the project says it: a ratio or a difference."""

    bound: float
    at_most: bool = False
    difference: bool = False

    def reached(self, value: float) -> bool:
        """Whether the value is within the bound."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        """As a table shows it."""
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {'+' if self.difference else ''}{self.bound:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One number of docmill's beside one of a limit or a rival, round by round.

    `against` is None where a number stands by itself, for its target or only to be known. `at` is
    where on a curve it is (the jobs in the queue), for the plots.
    """

    line: str
    what: str
    unit: str
    ours: Sequence[float]
    against: str | None = None
    theirs: Sequence[float] = ()
    target: Target | None = None
    note: str = ""
    at: float | None = None

    @property
    def compared(self) -> list[float]:
        """The ratio, or the difference where the target is one, of each round."""
        if self.against is None:
            return []
        if self.target is not None and self.target.difference:
            return [mine - other for mine, other in zip(self.ours, self.theirs, strict=True)]
        pairs = zip(self.ours, self.theirs, strict=True)
        return [mine / other for mine, other in pairs if other]

    @property
    def judged(self) -> float | None:
        """What the target is about: the median of what is compared, or of our own number."""
        values = self.compared if self.against else self.ours
        return statistics.median(values) if values else None


@dataclass(slots=True)
class Skipped(Exception):
    """A line, or a side of it, that can't be run here; `reason` is a sentence."""

    reason: str = field(default="")

    def __str__(self) -> str:
        """The sentence."""
        return self.reason


def interleaved(rounds: int, sides: Mapping[str, Side], say: bool = True) -> Samples:
    """Run each side once per round; returns the numbers by side and by what they measure."""
    samples: Samples = {}
    names = list(sides)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begun = time.perf_counter()
            numbers = sides[name](number)
            for what, value in numbers.items():
                samples.setdefault(name, {}).setdefault(what, []).append(value)
            if say:
                said = ", ".join(f"{what} {value:,.4g}" for what, value in numbers.items())
                took = time.perf_counter() - begun
                print(f"  round {number + 1}, {name}: {said} ({took:.1f} s)", flush=True)
    return samples


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of all values is not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def is_calm() -> bool:
    """Whether the machine has nothing else to do: else the numbers are noise."""
    return os.getloadavg()[0] < 0.5 * (os.cpu_count() or 1)
