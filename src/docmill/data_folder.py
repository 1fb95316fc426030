"""Make the embedded PostgreSQL's data anew: of a backup, or of what an earlier version has written.

The new cluster is made below the data folder and moved into its place once it is whole, by the next
start (`embedded_postgres.py`). Whatever is cut off leaves what was there before, or a sentence.
"""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from docmill import backup, embedded_postgres
from docmill.backup import Label
from docmill.embedded_postgres import MAJOR_VERSION, RESTORING, WHOLE, binary
from docmill.errors import Unavailable
from docmill.migrate import EmbeddingModel
from docmill.postgres_account import account_for

# What a restore that was cut off leaves; anything else in the folder is somebody's.
LEFT_BY_A_RESTORE = {RESTORING, "start.lock", "superuser.password"}
# While the data are read to be upgraded nobody but us gets in.
SUPERUSER_ONLY = "local all postgres scram-sha-256\n"


def restore(data_dir: Path, file: Path, model: EmbeddingModel) -> Label:
    """Make the data folder of a backup.

    Raises:
        Unavailable: the folder is not empty, or the backup is not fit; nothing was done then.
    """
    backup.check(file)
    data_dir = data_dir.resolve()
    there = data_dir.iterdir() if data_dir.exists() else ()
    taken = {path.name for path in there} - LEFT_BY_A_RESTORE
    if taken:
        raise Unavailable(
            f"{data_dir} is not empty ({', '.join(sorted(taken)[:3])}). Restore into an empty"
            " folder, named by DOCMILL_DATA_DIR."
        )
    return _make(data_dir, lambda admin: backup.restore(admin, file, model))


def upgrade(data_dir: Path, model: EmbeddingModel) -> Label | None:
    """Move the data from an earlier version of PostgreSQL to the one that docmill brings.

    The old data stay beside the new ones, as `postgres-` and their version. None where the data are
    of this version already.

    Raises:
        Unavailable: there are no data, they are too old for the programs at hand, docmill runs, or
            the disk has too little room.
    """
    data_dir = data_dir.resolve()
    if (data_dir / RESTORING / WHOLE).exists():  # all but the last step was done
        embedded_postgres.start(data_dir).stop()
    major = _made_by(data_dir)
    if major == MAJOR_VERSION:
        return None
    _refuse_without_programs(major)
    _refuse_without_room(data_dir)
    file = data_dir / "upgrade.backup"
    file.unlink(missing_ok=True)
    try:
        with embedded_postgres.start(data_dir, major=major, access=SUPERUSER_ONLY) as old:
            if not old.is_ours:
                raise Unavailable(f"The database in {data_dir} runs. Stop docmill first.")
            backup.back_up(old.admin_url, file)
        return _make(data_dir, lambda admin: backup.restore(admin, file, model))
    finally:
        file.unlink(missing_ok=True)


def _make(data_dir: Path, fill: Callable[[str], Label]) -> Label:
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    # An empty folder of root's becomes that of the user whom the server runs as.
    account_for(data_dir, data_dir / "postgres", binary("postgres"))
    new = data_dir / RESTORING
    _clear(new)
    try:
        with embedded_postgres.start(new) as server:
            label = fill(server.admin_url)
        (new / WHOLE).touch()
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    embedded_postgres.start(data_dir).stop()  # moves it into its place, and shows that it runs
    if new.exists():
        raise Unavailable(f"Somebody else began to use {data_dir} meanwhile. Choose another one.")
    return label


def _clear(new: Path) -> None:
    """Remove what a restore that was cut off has left.

    The programs that it had started may write there for a moment; a start waits for their end.
    """
    if new.exists():
        with contextlib.suppress(Unavailable):
            embedded_postgres.start(new).stop()
        shutil.rmtree(new, ignore_errors=True)


def _made_by(data_dir: Path) -> int:
    try:
        return int((data_dir / "postgres" / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError as error:
        raise Unavailable(f"There are no data of docmill in {data_dir}.") from error


def _refuse_without_programs(major: int) -> None:
    try:
        binary("postgres", major)
    except Unavailable as error:
        raise Unavailable(
            f"The data are of PostgreSQL {major}, and docmill brings no programs of that version."
            " Run `docmill backup` with the docmill that wrote them, and `docmill restore` with"
            " this one, into another folder."
        ) from error


def _refuse_without_room(data_dir: Path) -> None:
    """The backup and the new data are there beside the old ones for a while."""
    needed = 2 * sum(file.stat().st_size for file in data_dir.rglob("*") if file.is_file())
    free = shutil.disk_usage(data_dir).free
    if free < needed:
        raise Unavailable(
            f"An upgrade of {data_dir} takes up to {needed:,} bytes for a while, and the disk has"
            f" {free:,}. Make room, or run `docmill backup` to another disk and `docmill restore`."
        )
