"""What the database keeps: texts without NUL and lone surrogates, JSON of such texts. Pure."""

import math
import re
from typing import Any

MOST_DEPTH = 100
UNKEPT = re.compile("[\\0\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Whether PostgreSQL takes the text."""
    return UNKEPT.search(value) is None


def is_json(value: Any) -> bool:
    """Whether PostgreSQL takes what was read from JSON, and gives it back as it was.

    Python's reader takes more than JSON has, such as NaN, and half of a character's surrogates.
    """
    waiting = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        within = _parts(part)
        if not _is_plain(part) or (within and depth == MOST_DEPTH):
            return False
        waiting += [(inner, depth + 1) for inner in within]
    return True


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return is_text(value)
    return not isinstance(value, float) or math.isfinite(value)
