"""Damages good bytes the way networks, disks and enemies do, and tells how that was answered."""

import struct
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from docmill.errors import Failure, Problem

# Numbers at which sizes, counts and offsets break.
NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
WORDS = [struct.pack(size, number) for number in NUMBERS for size in ("<I", ">I")]


def damaged(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the samples with a few pieces overwritten, put in, left out, repeated or cut off."""
    pieces = st.binary(max_size=8) | st.sampled_from(WORDS)
    places = st.floats(0, 1, exclude_max=True)
    changes = st.lists(
        st.tuples(st.sampled_from("opirc"), places, st.integers(0, 64), pieces), max_size=6
    )
    return st.builds(changed, st.sampled_from(samples), changes)


def changed(whole: bytes, changes: Sequence[tuple[str, float, int, bytes]]) -> bytes:
    """The bytes after some changes: what, at which share of them, how far, and with what."""
    for what, share, length, piece in changes:
        at = int(share * len(whole))
        match what:
            case "o":
                whole = whole[:at] + piece + whole[at + len(piece) :]
            case "p":
                whole = whole[:at] + piece + whole[at:]
            case "i":
                whole = whole[:at] + whole[at + length :]
            case "r":
                whole = whole[:at] + whole[at : at + length] * 3 + whole[at + length :]
            case _:
                whole = whole[: max(at, 1)]
    return whole


def split(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The bytes in parts of these sizes, as a network might bring them; the rest in one."""
    parts = []
    for size in sizes:
        parts.append(data[:size])
        data = data[size:]
    return [*parts, data]


def refusal(action: Callable[[], object]) -> str | None:
    """The code with which docmill refuses something; None where it goes through."""
    try:
        action()
    except (Failure, Problem) as refused:
        return refused.code
    return None
