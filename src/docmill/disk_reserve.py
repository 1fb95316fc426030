"""Room on the disk that uploads leave alone.

A PostgreSQL whose disk is full to the last byte stops, because it can't write its log, and does not
start again until somebody makes room. So uploads are refused before it comes to that.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from docmill.errors import Problem


@dataclass(frozen=True, slots=True)
class DiskReserve:
    """The disk below a folder, and how many bytes of it stay free."""

    folder: Path
    reserve_bytes: int

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more leave the reserve alone."""
        return shutil.disk_usage(self.folder).free - size >= self.reserve_bytes

    def refuse(self, size: int) -> None:
        """Do nothing where so many bytes more leave the reserve alone.

        Raises:
            Problem: STORAGE_FULL.
        """
        free = shutil.disk_usage(self.folder).free
        if free - size < self.reserve_bytes:
            raise Problem(
                "STORAGE_FULL",
                f"The server's disk has {free:,} bytes left, of which {self.reserve_bytes:,} stay"
                " free. Nothing was kept; make room and send it again.",
            )
