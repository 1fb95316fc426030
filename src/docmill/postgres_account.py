"""Whom the embedded PostgreSQL runs as. It refuses to run as root, so root lends it another user.

That user can't pass through a folder that is root's alone (`/root`, a test's temporary folder), be
it above the data or above the programs. No folder is opened to everybody for that: the process gets
the one capability it needs instead, and only where it needs it.
"""

import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from docmill.errors import Unavailable

USERS = ("docmill", "nobody")
# The weakest first. A container's root often has only the last one.
CAPABILITIES = (None, "dac_read_search", "dac_override")


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and what has to stand before a command so that it runs as that user."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()

    def own(self, file: int) -> None:
        """Give an open file or folder of ours to the user; root alone can and must."""
        if os.geteuid() == 0:
            os.fchown(file, self.uid, self.gid)


def account_for(data_dir: Path, data: Path, program: Path) -> Account:
    """The account that runs `program` on `data` in `data_dir`; root's empty folder becomes its own.

    Raises:
        Unavailable: we are root, and there is no user or no way to run the program as that user.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    uid, gid = _owner(data) or _unprivileged_user()
    if data_dir.stat().st_uid == 0 and not any(data_dir.iterdir()):
        make_private(data_dir, Account(uid, gid))
    ids = (_setpriv(), f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
    for capability in CAPABILITIES:
        account = Account(uid, gid, (*ids, *_lent(capability)))
        if _runs(account, program, data_dir):
            return account
    raise Unavailable(
        f"PostgreSQL does not run as root, and the user {_name(uid)} can't get into {data_dir} or"
        f" run {program}. Choose a folder that everyone may pass through by DOCMILL_DATA_DIR, such"
        " as /var/lib/docmill, install docmill outside of /root, or start it as an ordinary user."
    )


def make_private(folder: Path, account: Account) -> None:
    """Make a folder of ours the account's alone, made if missing.

    Raises:
        Unavailable: it is somebody else's. In a shared temporary folder anyone can be first.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except NotADirectoryError as error:  # a file or a symbolic link, which root must not follow
        raise Unavailable(f"{folder} is not a folder. Remove it.") from error
    try:
        if os.fstat(opened).st_uid not in {os.geteuid(), account.uid}:
            raise Unavailable(f"{folder} belongs to somebody else. Remove it, or set TMPDIR.")
        account.own(opened)
        os.fchmod(opened, 0o700)
    finally:
        os.close(opened)


def _owner(data: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        status = data.stat()
        if status.st_uid != 0:
            return status.st_uid, status.st_gid
    return None


def _unprivileged_user() -> tuple[int, int]:
    for name in USERS:
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_uid, user.pw_gid
    raise Unavailable(
        "PostgreSQL does not run as root, and there is no user `docmill` or `nobody` to run it as."
        " Create one, or start docmill as an ordinary user."
    )


def _name(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _setpriv() -> str:
    program = shutil.which("setpriv")
    if program is None:
        raise Unavailable(
            "Started as root, docmill needs `setpriv` (package util-linux) to run PostgreSQL as an"
            " unprivileged user. Install it, or start docmill as an ordinary user."
        )
    return program


def _lent(capability: str | None) -> tuple[str, ...]:
    """The ambient set alone survives the change of user and the start of another program."""
    if capability is None:
        return ()
    return (f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}")


def _runs(account: Account, program: Path, data_dir: Path) -> bool:
    """Whether the account gets into the folder and can run the program: tried, not calculated."""
    trial = ("/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", data_dir, program)
    return not subprocess.run(
        [*account.prefix, *trial], capture_output=True, check=False, cwd="/"
    ).returncode
