"""Back up a docmill's database into one file, and make a database of such a file again.

The file is what PostgreSQL's own `pg_dump` writes (its custom format) and a last line of ours, by
which a file that was cut off or changed is known before anything is done with it. `pg_dump` reads
as of one moment while everything goes on, and what it writes can be read by the same and by every
later major version of PostgreSQL: a backup is the way from one to the next as well.

Only the schema `docmill` is in it. Roles and passwords are not: they belong to the server, and
`migrate.py` makes them wherever it comes.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from docmill import migrate
from docmill.database import connect
from docmill.embedded_postgres import ENVIRONMENT, binary
from docmill.errors import Unavailable
from docmill.migrate import EmbeddingModel

MARK = b"\ndocmill-backup "
LONGEST_LABEL = 1000
SLICE = 1 << 20
LAST_LINES = 3
INDEX_MEMORY = "256MB"  # the index of vectors is built much faster where it fits


@dataclass(frozen=True, slots=True)
class Label:
    """The last line of a backup: how long the dump before it is, its digest, and of what it is."""

    size: int
    sha256: str
    schema: int
    postgres: int


def back_up(admin: str, file: Path) -> Label:
    """Write a backup of the database as it is now. It is there under its name once it is whole.

    Args:
        admin: address of a role that may read all rows: a superuser, or one with `bypassrls`.
        file: a name that is not taken yet.

    Raises:
        Unavailable: it could not be written; nothing of it is left.
    """
    if file.exists():
        raise Unavailable(f"{file} is there already. Choose another name, or move it away.")
    with connect(admin) as connection:
        schema = migrate.applied_version(connection)
        if not schema:
            raise Unavailable("There is no docmill in this database, so nothing to back up.")
        postgres = connection.info.server_version // 10_000
    part = file.with_name(file.name + ".part")
    with _refused_by_the_system(file), _new(part) as out:
        try:
            size, sha256 = _dump(admin, out)
            label = Label(size, sha256, schema, postgres)
            out.write(MARK + json.dumps(asdict(label)).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
            part.rename(file)
            _sync(file.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return label


def check(file: Path) -> Label:
    """The label of a backup that is whole.

    Raises:
        Unavailable: it is none, was cut off, or was changed.
    """
    with _refused_by_the_system(file), file.open("rb") as backup:
        label = _label(backup, file)
        backup.seek(0)
        digest, left = hashlib.sha256(), label.size
        while left and (data := backup.read(min(SLICE, left))):
            digest.update(data)
            left -= len(data)
    if digest.hexdigest() != label.sha256:
        raise Unavailable(f"{file} was changed since it was written. Take another backup.")
    return label


def restore(admin: str, file: Path, model: EmbeddingModel) -> Label:
    """Make a docmill of a backup, in a database that has none, with this version's schema.

    All of it, or nothing: what the backup holds comes in one transaction.

    Raises:
        Unavailable: the backup is not whole or too new, or the database has a docmill already.
    """
    label = check(file)
    if label.schema > migrate.newest_version():
        raise Unavailable(
            f"{file} is of a newer docmill (schema {label.schema}; this one knows"
            f" {migrate.newest_version()}). Restore it with that version or a later one."
        )
    with connect(admin) as connection:
        if migrate.applied_version(connection):
            raise Unavailable(
                "There is a docmill in this database already. Restore into another one."
            )
        postgres = connection.info.server_version // 10_000
        if postgres < label.postgres:
            raise Unavailable(
                f"{file} was made on PostgreSQL {label.postgres}, and this is {postgres}. Restore"
                " it on the same version or a later one."
            )
    migrate.make_roles(admin)
    with _refused_by_the_system(file), file.open("rb") as backup:
        _run("pg_restore", admin, "--single-transaction", "--exit-on-error", stdin=backup)
    migrate.migrate(admin, model)
    with connect(admin, autocommit=True) as connection:
        connection.execute("analyze")  # the planner knows nothing of what has come
    return label


def _dump(admin: str, out: BinaryIO) -> tuple[int, str]:
    """Write the dump; its length and digest."""
    # The quickest level. Without any, bytes would be twice as many: they come as digits.
    flags = ("--format=custom", "--schema=docmill", "--compress=gzip:1", "--no-sync")
    command, environment = _program("pg_dump", admin, flags)
    digest, size = hashlib.sha256(), 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as dumping:
        assert dumping.stdout is not None  # noqa: S101 - asked for two lines above
        assert dumping.stderr is not None  # noqa: S101 - as above
        try:
            while data := dumping.stdout.read(SLICE):
                out.write(data)
                digest.update(data)
                size += len(data)
            said = dumping.stderr.read()
        except BaseException:
            dumping.kill()
            raise
    if dumping.returncode:
        raise Unavailable(f"The backup could not be made: {_why(said)}")
    return size, digest.hexdigest()


def _run(name: str, admin: str, *flags: str, stdin: BinaryIO) -> None:
    command, environment = _program(name, admin, flags)
    done = subprocess.run(command, stdin=stdin, capture_output=True, env=environment, check=False)
    if done.returncode:
        raise Unavailable(f"The backup could not be restored: {_why(done.stderr)}")


def _program(name: str, admin: str, flags: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """A command on the database, and its environment: the password is in no list of processes."""
    parts: dict[str, Any] = conninfo_to_dict(admin)
    password = parts.pop("password", None)
    secret = {"PGPASSWORD": str(password)} if password else {}
    where = f"--dbname={make_conninfo('', **parts)}"
    room = {"PGOPTIONS": f"-c maintenance_work_mem={INDEX_MEMORY}"} if name == "pg_restore" else {}
    return [str(binary(name)), where, *flags], {**ENVIRONMENT, **secret, **room}


def _label(backup: BinaryIO, file: Path) -> Label:
    whole = backup.seek(0, os.SEEK_END)
    backup.seek(max(0, whole - LONGEST_LABEL))
    end = backup.read()
    at = end.rfind(MARK)
    label = _read(end[at + len(MARK) :]) if at >= 0 else None
    if label is None or label.size != whole - len(end) + at:
        raise Unavailable(
            f"{file} is no backup of docmill, or was cut off: its last line is missing."
        )
    return label


def _read(line: bytes) -> Label | None:
    try:
        return Label(**json.loads(line)) if line.endswith(b"\n") else None
    except (ValueError, TypeError):
        return None


@contextmanager
def _new(part: Path) -> Iterator[BinaryIO]:
    """A file for us alone: all documents are in it."""
    part.unlink(missing_ok=True)
    opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(opened, "wb") as out:
        yield out


@contextmanager
def _refused_by_the_system(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{error.filename or file}: {error.strerror}.") from error


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _why(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return " ".join(lines[-LAST_LINES:]) or "it said nothing."
