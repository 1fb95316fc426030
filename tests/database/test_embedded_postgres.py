"""The embedded PostgreSQL keeps its promises: private, durable, one per folder, never orphaned."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from docmill import embedded_postgres, postgres_account
from docmill.embedded_postgres import EmbeddedPostgres, binary, start
from docmill.errors import Unavailable

ROOT = os.geteuid() == 0
root_only = pytest.mark.skipif(not ROOT, reason="only root lends PostgreSQL another user")
SOURCE = Path(embedded_postgres.__file__).parents[1]
PATIENCE_SECONDS = 60
STARTER = """
import sys
from pathlib import Path
from docmill.embedded_postgres import start
with start(Path(sys.argv[1])) as server:
    print(server.admin_url, flush=True)
    sys.stdin.read()
"""


class Starter:
    """Another process that starts the server, and stops it when told to."""

    def __init__(self, data_dir: Path, *before: str) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", STARTER, data_dir],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            text=True,
        )

    def admin_url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self) -> str:
        """What it said on its way out."""
        return self.process.communicate()[1]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Starting = Callable[..., Starter]


class Running(NamedTuple):
    data_dir: Path
    server: EmbeddedPostgres

    @property
    def admin_url(self) -> str:
        return self.server.admin_url


@pytest.fixture
def starting() -> Iterator[Starting]:
    with ExitStack() as stack:

        def begin(data_dir: Path, *before: str) -> Starter:
            starter = Starter(data_dir, *before)
            stack.callback(starter.kill)
            return starter

        yield begin


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that is not there yet, below one that is ours alone."""
    parent = Path(tempfile.mkdtemp(prefix="docmill-"))
    yield parent / "data"
    wait_for_end(processes_of(parent / "data"))
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A server that tests only look at."""
    parent = Path(tempfile.mkdtemp(prefix="docmill-"))
    with start(parent / "data") as server:
        yield Running(parent / "data", server)
    shutil.rmtree(parent)


def row(admin_url: str, query: str) -> tuple[Any, ...]:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        found = connection.execute(query.encode()).fetchone()
        assert found is not None
        return found


def remember(admin_url: str, text: str) -> None:
    with psycopg.connect(admin_url) as connection:
        connection.execute("create table if not exists kept (line text)")
        connection.execute("insert into kept values (%s)", [text])


def remembered(admin_url: str) -> list[str]:
    with psycopg.connect(admin_url) as connection:
        return [line for (line,) in connection.execute("select line from kept order by line")]


def postmaster(data_dir: Path) -> psutil.Process:
    lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    return psutil.Process(int(lines[0]))


def kill(server: psutil.Process) -> None:
    """SIGKILL, and wait: until it is dead it answers, and may well be adopted."""
    server.kill()
    server.wait(60)


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """The server on this data and its guard.

    Not its children: for a moment after the fork a backend still shows the server's command line.
    """
    found = [
        process
        for process in psutil.process_iter(["cmdline", "name", "ppid"])
        if str(data_dir / "postgres") in (process.info["cmdline"] or ())
    ]
    servers = {process.pid for process in found if process.info["name"] == "postgres"}
    return [process for process in found if process.info["ppid"] not in servers]


def wait_for_end(processes: list[psutil.Process]) -> None:
    wait_until(lambda: not any(map(is_alive, processes)))


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def owner_and_mode(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, status.st_mode


def state_of_data(data_dir: Path) -> str:
    told = subprocess.run(
        [binary("pg_controldata"), data_dir / "postgres"],
        capture_output=True,
        text=True,
        check=True,
        env={"LC_ALL": "C"},
    ).stdout
    line = next(line for line in told.splitlines() if line.startswith("Database cluster state"))
    return line.split(":")[1].strip()


# a server of one's own ---------------------------------------------------------------------


def test_first_start_makes_a_cluster_with_vectors_unicode_and_checksums(running: Running) -> None:
    with psycopg.connect(running.admin_url) as connection:
        connection.execute("create extension vector")
    assert row(running.admin_url, "select '[1,2]'::vector <-> '[1,5]'::vector") == (3.0,)
    letters = "select upper('größe'), 'Ж' ~ '[[:alpha:]]'"
    assert row(running.admin_url, letters) == ("GRÖßE", True)
    assert row(running.admin_url, "show server_encoding") == ("UTF8",)
    assert row(running.admin_url, "show data_checksums") == ("on",)


@pytest.mark.parametrize("name", ["fsync", "synchronous_commit", "full_page_writes"])
def test_acknowledged_commits_survive_a_power_cut(running: Running, name: str) -> None:
    assert row(running.admin_url, f"show {name}") == ("on",)


def test_settings_hold_for_a_folder_made_by_an_older_release(data_dir: Path) -> None:
    start(data_dir).stop()
    with (data_dir / "postgres" / "postgresql.conf").open("a") as conf:
        conf.write("jit = on\nlisten_addresses = '*'\nport = 5999\n")
    with start(data_dir) as server:
        settings = "current_setting('jit'), current_setting('listen_addresses')"
        assert row(server.admin_url, f"select {settings}") == ("off", "")


def test_restart_keeps_data_and_password(data_dir: Path) -> None:
    with start(data_dir) as server:
        remember(server.admin_url, "before")
    with start(data_dir) as again:
        assert again.admin_url == server.admin_url
        assert remembered(again.admin_url) == ["before"]


def test_stop_ends_the_server_cleanly_and_can_be_repeated(data_dir: Path) -> None:
    server = start(data_dir)
    running = postmaster(data_dir)
    with psycopg.connect(server.admin_url):  # a client that stays does not hold it up
        server.stop()
        server.stop()
        assert not is_alive(running)
    assert state_of_data(data_dir) == "shut down"


# private -----------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["", "wrong"])
def test_wrong_or_no_password_is_refused(
    running: Running, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", os.devnull)
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(running.admin_url, password=password)


def test_only_the_socket_leads_in_and_asks_everybody_for_a_password(running: Running) -> None:
    rule = "type || ' ' || array_to_string(database || user_name, ' ') || ' ' || auth_method"
    rules = row(running.admin_url, f"select array_agg({rule}) from pg_hba_file_rules")
    assert rules == (["local all all scram-sha-256"],)
    assert row(running.admin_url, "show listen_addresses") == ("",)
    assert not postmaster(running.data_dir).net_connections("inet")


def test_folders_and_files_are_the_owners_alone(running: Running) -> None:
    for folder in ("", "postgres", "socket"):
        assert mode(running.data_dir / folder) == 0o700
    for file in running.data_dir.glob("*.*"):
        assert mode(file) == 0o600, file


def test_password_is_not_printed_with_the_server(running: Running) -> None:
    assert str(conninfo_to_dict(running.admin_url)["password"]) not in repr(running)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(running: Running) -> None:
    assert os.getsid(postmaster(running.data_dir).pid) != os.getsid(0)


def test_keys_in_the_environment_are_not_handed_to_the_server(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCMILL_TEST_KEY", "secret")
    with start(data_dir):
        assert "DOCMILL_TEST_KEY" not in postmaster(data_dir).environ()


@pytest.mark.parametrize(
    "name", ["start.lock", "owner.lock", "server.lock", "postgres.log", "superuser.password"]
)
def test_symbolic_link_in_the_folder_leads_to_no_other_file(data_dir: Path, name: str) -> None:
    precious = data_dir.parent / "precious"
    precious.write_text("kept")
    before = owner_and_mode(precious)
    data_dir.mkdir(mode=0o700)
    (data_dir / name).symlink_to(precious)
    try:
        start(data_dir).stop()
    except Unavailable as error:
        assert name in str(error)  # noqa: PT017 - either it is refused, or the link is replaced
    assert precious.read_text() == "kept"
    assert owner_and_mode(precious) == before


@pytest.mark.parametrize("name", ["x" * 100, "with, comma", "with 'quotes\" and \\ ü"])
def test_any_folder_name_will_do(data_dir: Path, name: str) -> None:
    with start(data_dir / name) as server:
        assert row(server.admin_url, "select 1") == (1,)
        sockets = Path(str(conninfo_to_dict(server.admin_url)["host"]))
        assert mode(sockets) == 0o700
    with start(data_dir / name) as again:
        assert again.admin_url == server.admin_url
    if not sockets.is_relative_to(data_dir):
        sockets.rmdir()


@root_only
def test_socket_folder_of_somebody_else_is_refused(data_dir: Path) -> None:
    start(data_dir).stop()
    sockets = data_dir / "socket"
    os.chown(sockets, 4242, 4242)
    with pytest.raises(Unavailable, match="socket belongs to somebody else"):
        start(data_dir)


# one per folder ----------------------------------------------------------------------------


def test_two_processes_starting_at_once_share_one_server(
    data_dir: Path, starting: Starting
) -> None:
    first, second = starting(data_dir), starting(data_dir)
    urls = {first.admin_url(), second.admin_url()}
    assert len(urls) == 1
    servers = [process for process in processes_of(data_dir) if process.name() == "postgres"]
    assert servers == [postmaster(data_dir)]
    remember(urls.pop(), "once")


def test_second_start_adopts_and_its_stop_leaves_the_server_to_its_owner(
    data_dir: Path, starting: Starting
) -> None:
    owner = start(data_dir)
    adopter = starting(data_dir)
    assert adopter.admin_url() == owner.admin_url
    assert adopter.stop() == ""
    assert row(owner.admin_url, "select 1") == (1,)
    server = postmaster(data_dir)
    owner.stop()
    assert not is_alive(server)


def test_same_folder_by_another_name_is_the_same_server(data_dir: Path) -> None:
    other = data_dir.parent / "link"
    other.symlink_to(data_dir)
    with start(data_dir) as owner:
        assert start(other).admin_url == owner.admin_url


def test_start_while_the_owner_stops_waits_and_starts_anew(data_dir: Path) -> None:
    owner = start(data_dir)
    with psycopg.connect(owner.admin_url):
        stopping = threading.Thread(target=owner.stop)
        stopping.start()
        with start(data_dir) as server:
            stopping.join()
            assert row(server.admin_url, "select 1") == (1,)


# no orphans --------------------------------------------------------------------------------


def test_killed_starter_takes_the_server_down_cleanly(data_dir: Path, starting: Starting) -> None:
    starter = starting(data_dir)
    remember(starter.admin_url(), "kept")
    server = processes_of(data_dir)
    starter.kill()
    wait_for_end(server)
    assert state_of_data(data_dir) == "shut down"
    with start(data_dir) as again:
        assert remembered(again.admin_url) == ["kept"]


def test_start_right_after_the_owner_was_killed_never_adopts_the_dying_server(
    data_dir: Path, starting: Starting
) -> None:
    starter = starting(data_dir)
    starter.admin_url()
    dying = postmaster(data_dir)
    starter.kill()
    with start(data_dir) as server:
        assert not is_alive(dying)
        assert row(server.admin_url, "select 1") == (1,)


def test_starter_that_ignores_interrupts_leaves_no_orphan_either(
    data_dir: Path, starting: Starting
) -> None:
    starter = starting(data_dir, "/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh")
    starter.admin_url()
    server = processes_of(data_dir)
    starter.kill()
    wait_for_end(server)


def test_starter_killed_while_the_server_comes_up_leaves_no_orphan(
    data_dir: Path, starting: Starting
) -> None:
    start(data_dir).stop()
    starter = starting(data_dir)
    wait_until((data_dir / "postgres" / "postmaster.pid").exists)
    starter.kill()
    wait_for_end(processes_of(data_dir))
    start(data_dir).stop()


def test_orphan_whose_guard_was_killed_too_is_replaced_with_its_data(
    data_dir: Path, starting: Starting
) -> None:
    starter = starting(data_dir)
    remember(starter.admin_url(), "kept")
    orphan = postmaster(data_dir)
    for guard in processes_of(data_dir):
        if guard != orphan:
            guard.kill()
    starter.kill()
    assert orphan.is_running()
    with start(data_dir) as server:
        assert postmaster(data_dir) != orphan
        assert remembered(server.admin_url) == ["kept"]


def test_killed_server_is_started_again_by_its_owner(data_dir: Path) -> None:
    first = start(data_dir)
    remember(first.admin_url, "kept")
    kill(postmaster(data_dir))
    with start(data_dir) as second:
        assert remembered(second.admin_url) == ["kept"]
        first.stop()
        assert remembered(second.admin_url) == ["kept"]


def test_killed_server_is_started_again_by_another_process(
    data_dir: Path, starting: Starting
) -> None:
    starter = starting(data_dir)
    remember(starter.admin_url(), "kept")
    kill(postmaster(data_dir))
    with start(data_dir) as server:
        starter.kill()
        assert remembered(server.admin_url) == ["kept"]
        assert start(data_dir).admin_url == server.admin_url
        assert remembered(server.admin_url) == ["kept"]


def test_killed_first_start_leaves_no_half_cluster(data_dir: Path, starting: Starting) -> None:
    starter = starting(data_dir)
    wait_until((data_dir / "postgres.new" / "PG_VERSION").exists)
    starter.kill()
    assert not (data_dir / "postgres").exists()
    with start(data_dir) as server:
        assert row(server.admin_url, "select 1") == (1,)
    assert not (data_dir / "postgres.new").exists()


# whom it runs as ---------------------------------------------------------------------------


@root_only
@pytest.mark.parametrize("parent_mode", [0o700, 0o711, 0o755])
def test_root_runs_it_as_an_unprivileged_user_and_opens_no_parent(
    data_dir: Path, parent_mode: int
) -> None:
    data_dir.parent.chmod(parent_mode)
    parents = {*data_dir.parents, *binary("postgres").parents}
    before = {parent: owner_and_mode(parent) for parent in parents}
    with start(data_dir) as server:
        assert row(server.admin_url, "select 1") == (1,)
        assert postmaster(data_dir).username() in postgres_account.USERS
        assert set(postmaster(data_dir).gids()).isdisjoint({0})
    assert {parent: owner_and_mode(parent) for parent in parents} == before


@root_only
def test_no_capability_is_lent_where_none_is_needed(data_dir: Path) -> None:
    if any(not parent.stat().st_mode & stat.S_IXOTH for parent in binary("postgres").parents):
        pytest.skip("PostgreSQL's programs lie below a folder that not everyone may pass through")
    data_dir.parent.chmod(0o711)
    with start(data_dir):
        status = Path(f"/proc/{postmaster(data_dir).pid}/status").read_text()
        sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
        assert int(sets["CapEff"], 16) == int(sets["CapAmb"], 16) == 0


@root_only
def test_root_goes_on_with_data_of_an_ordinary_user_as_that_user(data_dir: Path) -> None:
    start(data_dir).stop()
    for path in [data_dir, *data_dir.rglob("*")]:
        os.chown(path, 4242, 4242)
    with start(data_dir) as server:
        assert row(server.admin_url, "select 1") == (1,)
        assert postmaster(data_dir).uids().real == 4242
        assert {path.stat().st_uid for path in data_dir.rglob("*")} == {4242}


@root_only
def test_folder_that_already_holds_files_of_others_is_not_taken_over(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o750)
    (data_dir / "notes.txt").write_text("mine")
    with start(data_dir) as server:
        assert row(server.admin_url, "select 1") == (1,)
    for path in (data_dir, data_dir / "notes.txt"):
        assert path.stat().st_uid == 0
    assert mode(data_dir) == 0o750


# what can't be mended here is told -----------------------------------------------------------


def test_data_of_another_version_is_refused_with_both_versions(data_dir: Path) -> None:
    start(data_dir).stop()
    (data_dir / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(Unavailable, match=r"made by PostgreSQL 15, and this docmill brings 18"):
        start(data_dir)


def test_damaged_data_are_refused_and_left_as_they_are(data_dir: Path) -> None:
    start(data_dir).stop()
    password = (data_dir / "superuser.password").read_text()
    (data_dir / "postgres" / "PG_VERSION").unlink()
    with pytest.raises(Unavailable, match="PG_VERSION"):
        start(data_dir)
    assert (data_dir / "postgres" / "base").is_dir()
    assert (data_dir / "superuser.password").read_text() == password


def test_server_that_does_not_start_is_told_with_the_end_of_its_log(data_dir: Path) -> None:
    start(data_dir).stop()
    with (data_dir / "postgres" / "postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match="no_such_setting"):
        start(data_dir)
    wait_for_end(processes_of(data_dir))


def test_log_of_the_run_before_is_kept(data_dir: Path) -> None:
    with start(data_dir) as server, pytest.raises(psycopg.errors.DivisionByZero):
        row(server.admin_url, "select 1 / 0")
    start(data_dir).stop()
    assert "division by zero" in (data_dir / "postgres.log.1").read_text()


def test_lost_password_is_named(data_dir: Path) -> None:
    start(data_dir).stop()
    (data_dir / "superuser.password").unlink()
    with pytest.raises(Unavailable, match=r"superuser\.password is missing"):
        start(data_dir)


def test_file_in_the_folders_place_is_named(data_dir: Path) -> None:
    data_dir.write_text("a file")
    with pytest.raises(Unavailable, match=str(data_dir)):
        start(data_dir)


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_folder_that_is_not_ours_to_write_is_named(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o500)
    with pytest.raises(Unavailable, match="can't be used"):
        start(data_dir)


@root_only
def test_full_disk_is_told_with_what_is_left(data_dir: Path, starting: Starting) -> None:
    data_dir.mkdir()
    mount = f'mount -t tmpfs -o size=24m tmpfs "{data_dir}" && exec "$@"'
    unshared = ["unshare", "--mount", "/bin/sh", "-c"]
    if subprocess.run(
        [*unshared, mount, "sh", "true"], capture_output=True, check=False
    ).returncode:
        pytest.skip("no file system can be mounted here")
    starter = starting(data_dir, *unshared, mount, "sh")
    assert starter.admin_url() == ""
    told = starter.stop()
    assert "Unavailable: PostgreSQL could not be set up" in told
    assert "No space left on device" in told or "bytes left" in told
