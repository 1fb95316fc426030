"""Left alone for a year: with as many documents as before, nothing grows.

Only `make year` runs it, on a machine with nothing else to do: how large a table is at one moment
depends on when vacuum came last.
"""

import os
from pathlib import Path

import pytest

from year.life import KEPT_FOR_EVER, YEAR_DAYS, a_year_begins, grown

PERIODS = int(os.environ.get("PERIODS", "0"))
pytestmark = pytest.mark.skipif(PERIODS == 0, reason="takes long: make year")


def lived(folder: Path, periods: int, **settings: str) -> dict[str, float]:
    """What grew in the second half of a year of so many periods.

    Most that each half saw is compared: how much lies there at one moment depends on when vacuum
    came last.
    """
    halves: list[dict[str, int]] = [{}, {}]
    with a_year_begins(folder, **settings) as year:
        for period in range(periods):
            year.live(YEAR_DAYS / periods)
            half = halves[2 * period // periods]
            half |= {name: max(size, half.get(name, 0)) for name, size in year.sizes().items()}
    for name, size in halves[1].items():
        print(f"{halves[0][name]:12,} {size:12,}  {name}")
    return grown(*halves)


def test_in_the_second_half_of_a_year_nothing_grows(tmp_path: Path) -> None:
    # Operators' acts are kept for a year, which here is all there is.
    assert lived(tmp_path, PERIODS, DOCMILL_KEEP_OPERATOR_LOG_DAYS="60") == {}


def test_it_would_be_seen_if_history_stayed_for_ever(tmp_path: Path) -> None:
    grew = lived(tmp_path, PERIODS, **KEPT_FOR_EVER)
    assert {"job_attempts", "operator_actions"} <= set(grew)
