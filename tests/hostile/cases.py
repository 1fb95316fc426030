"""The table of hostile files: what a file is called, how it is made, and how it may end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Make = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Case:
    """A hostile file: `ends` are the endings that are right; `heavy` ones run up to a limit."""

    name: str
    make: Make
    ends: frozenset[str]
    heavy: bool


CASES: dict[str, Case] = {}


def case(name: str, *ends: str, heavy: bool = False) -> Callable[[Make], Make]:
    """Enter the maker of a file into the table, with its endings as `ending` words them."""

    def enter(make: Make) -> Make:
        CASES[name] = Case(name, make, frozenset(ends), heavy)
        return make

    return enter


def ending(warnings: Iterable[str], failure: str | None = None) -> str:
    """A failure's code, `completed`, or `completed: ` and the codes of its warnings."""
    told = ", ".join(sorted(set(warnings)))
    return failure or ("completed" + (f": {told}" if told else ""))


def end_of(status: dict[str, Any]) -> str:
    """The ending of a document by its status."""
    error = status["error"]
    return ending((told["code"] for told in status["warnings"]), error and error["code"])
