"""Clocks that go wrong, for one process: by Debian's package faketime."""

from pathlib import Path

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def clock_told_by(file: Path) -> dict[str, str]:
    """What makes a process read its time shifted by what the file says, such as `+1h`.

    Clocks that only count seconds are left as they are.
    """
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
