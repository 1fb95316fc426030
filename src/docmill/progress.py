"""From committed counts to the numbers of a status. Pure: what goes in was read in one query."""

from dataclasses import dataclass
from typing import Any

# What share of the whole each stage is. Measured on the default stages: chunking costs about a
# tenth of what parsing or embedding cost. The shares need not be exact, only fixed: a share that
# changed on the way could make the percentage go back.
SHARES = {"parse": 45.0, "chunk": 10.0, "embed": 45.0}
UNITS = {"parse": "page", "chunk": "chunk", "embed": "chunk"}
BEFORE_THE_END = 99.9


@dataclass(frozen=True, slots=True)
class Count:
    """Committed units of one stage; `total` is None until it is known for certain."""

    done: int
    total: int | None

    @property
    def fraction(self) -> float:
        """How much of the stage is done, from 0 to 1; a stage with nothing to do is done."""
        if self.total is None:
            return 0.0
        return 1.0 if self.total == 0 else min(1.0, self.done / self.total)


def percent(counts: dict[str, Count], status: str) -> float:
    """How much of the work is committed, from 0 to 100, to a tenth.

    100 means completed and nothing else does. Within a generation it can't go back: each count
    only grows, and a total is fixed once it is known.
    """
    if status == "completed":
        return 100.0
    exact = sum(share * counts[stage].fraction for stage, share in SHARES.items())
    return min(BEFORE_THE_END, int(exact * 10) / 10)


def shown(counts: dict[str, Count], status: str) -> dict[str, Any]:
    """The `progress` member of a status."""
    stages = {
        stage: {"done": count.done, "total": count.total, "unit": UNITS[stage]}
        for stage, count in counts.items()
    }
    return {"percent": percent(counts, status), **stages}
