"""Where tests keep their files: in memory, where there is enough of it.

What hundreds of databases write and throw away costs a disk more time than the tests take. A killed
process loses nothing there that it would keep on a disk, so every promise is tested as before.
"""

import os
import shutil
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
ENOUGH = 6 * 2**30  # bytes; all tests side by side have a third of it at most
NAME = "docmill-"  # and the process; a socket's path has room for little more
AFTER_ALL_OTHERS = -1000  # multiprocessing removes a folder of its own in it at -100


def use() -> Finalize | None:
    """Have this process and those that it starts keep their files in a new folder in memory.

    What removes the folder when this process ends, unless it is cancelled. None where there is not
    enough memory, where no program may be started there, or where TMPDIR says what to use instead.
    """
    if "TMPDIR" in os.environ or not _is_enough():
        return None
    for old in MEMORY.glob(f"{NAME}*"):
        pid = old.name.removeprefix(NAME)
        if pid.isdigit() and not psutil.pid_exists(int(pid)):  # of tests that failed or were killed
            shutil.rmtree(old, ignore_errors=True)
    folder = MEMORY / f"{NAME}{os.getpid()}"
    folder.mkdir(mode=0o755)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # which is remembered once it was asked for
    return Finalize(
        None, shutil.rmtree, [folder], {"ignore_errors": True}, exitpriority=AFTER_ALL_OTHERS
    )


def _is_enough() -> bool:
    if not MEMORY.is_dir() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return False
    free = shutil.disk_usage(MEMORY).free
    return min(free, psutil.virtual_memory().available) >= ENOUGH
