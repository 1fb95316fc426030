"""A backup holds what was acknowledged before it began, and comes back whole or not at all."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from conftest import MODEL
from docmill import backup, data_folder, database, embedded_postgres, migrate
from docmill.database import Addresses, Sync, connect
from docmill.embedded_postgres import binary
from docmill.errors import Unavailable
from docmill.postgres_account import account_for, make_private
from made_rows import OWNER, uploaded
from running import Docmill, Started, until

OLD_MAJOR = 16


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the server's user may pass through."""
    path = Path(tempfile.mkdtemp(prefix="docmill-backup-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def empty_database(admin_url: str) -> Iterator[str]:
    name = f"restored_{uuid4().hex}"
    with connect(admin_url, autocommit=True) as server:
        server.execute(f"create database {name}".encode())
        yield make_conninfo(admin_url, dbname=name)
        server.execute(f"drop database {name} with (force)".encode())


def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table of docmill, and what the roles may do with it."""
    with connect(url) as connection:
        connection.execute("set search_path = docmill, extensions")
        tables = [
            row["tablename"]
            for row in connection.execute(
                "select tablename from pg_tables where schemaname = 'docmill' order by 1"
            )
        ]
        found = {}
        for table in tables:
            rows = connection.execute(f"select t::text as said from {table} t order by 1".encode())
            found[table] = [row["said"] for row in rows]
        rows = connection.execute(
            """select 'policy ' || tablename || ' ' || policyname || ' ' || roles::text as said
               from pg_policies where schemaname = 'docmill'
               union all
               select 'forced ' || relname || ' ' || relforcerowsecurity::text
               from pg_class where relnamespace = 'docmill'::regnamespace and relkind = 'r'
               union all
               select 'owner ' || proname || ' ' || pg_get_userbyid(proowner)
               from pg_proc where pronamespace = 'docmill'::regnamespace
               union all
               select 'may ' || grantee || ' ' || privilege_type || ' ' || table_name
               from information_schema.role_table_grants where table_schema = 'docmill'
               order by 1"""
        )
        found["rights"] = [row["said"] for row in rows]
    return found


def test_restored_database_is_the_one_that_was_backed_up_with_its_rights(
    admin: Sync, addresses: Addresses, empty_database: str, folder: Path
) -> None:
    assert addresses.admin is not None
    for _ in range(3):
        uploaded(admin)
    file = folder / "docmill.backup"
    label = backup.back_up(addresses.admin, file)
    assert (label.schema, label.postgres) == (migrate.newest_version(), 18)
    assert file.stat().st_mode & 0o777 == 0o600
    backup.restore(empty_database, file, MODEL)
    assert contents(empty_database) == contents(addresses.admin)
    # The login roles see what they should, and no more.
    there = database.addresses(empty_database)
    with connect(there.api) as api:
        assert api.execute("select from documents").fetchall() == []
        api.execute("select set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{OWNER}"}}'])
        assert len(api.execute("select from documents").fetchall()) == 3
    with connect(there.worker) as worker:
        assert worker.execute("select has_due_work() as due").fetchone() == {"due": True}
    with pytest.raises(Unavailable, match="There is a docmill in this database already"):
        backup.restore(empty_database, file, MODEL)


@pytest.mark.parametrize("harm", ["cut in the middle", "cut at the end", "changed", "another file"])
def test_backup_that_is_not_whole_is_refused_and_nothing_is_made(
    admin: Sync, addresses: Addresses, folder: Path, harm: str
) -> None:
    assert addresses.admin is not None
    uploaded(admin)
    file = folder / "docmill.backup"
    backup.back_up(addresses.admin, file)
    whole = file.read_bytes()
    file.write_bytes({
        "cut in the middle": whole[: len(whole) // 2],
        "cut at the end": whole[:-1],
        "changed": whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
        "another file": b"something else\n" * 500,
    }[harm])  # fmt: skip
    with pytest.raises(Unavailable, match=r"no backup of docmill|was changed"):
        data_folder.restore(folder / "new", file, MODEL)
    assert not (folder / "new").exists()


def test_backup_that_can_not_be_made_leaves_no_file(
    addresses: Addresses, empty_database: str, folder: Path
) -> None:
    assert addresses.admin is not None
    with pytest.raises(Unavailable, match="nothing to back up"):
        backup.back_up(empty_database, folder / "a")
    # Row-level security is forced: whoever may not pass it can't read all, and is told so.
    with pytest.raises(Unavailable, match="could not be made"):
        backup.back_up(addresses.worker, folder / "a")
    assert list(folder.iterdir()) == []
    (folder / "taken").write_bytes(b"mine")
    with pytest.raises(Unavailable, match="is there already"):
        backup.back_up(addresses.admin, folder / "taken")
    assert (folder / "taken").read_bytes() == b"mine"


def test_every_upload_acknowledged_before_the_backup_is_in_it_and_works_where_it_is_restored(
    folder: Path,
) -> None:
    served = Docmill(folder / "old")
    acknowledged: list[str] = []
    stop = threading.Event()

    def upload() -> None:
        while not stop.is_set():
            content = f"document {len(acknowledged)} of the mill".encode()
            acknowledged.append(served.upload(f"{len(acknowledged)}.txt", content))

    uploading = threading.Thread(target=upload)
    uploading.start()
    until(lambda: len(acknowledged) > 5 or None, "some uploads are there")
    before = list(acknowledged)
    where = ["--data-dir", str(folder / "old")]
    begun = Started("backup", *where, str(folder / "file"))
    assert begun.wait() == 0, begun.said
    stop.set()
    uploading.join()
    assert served.stop() == 0

    to = ["--data-dir", str(folder / "new")]
    restored = Started("restore", *to, str(folder / "file"))
    assert restored.wait() == 0, restored.said
    again = Docmill(folder / "new")
    try:
        for document_id in before:
            assert again.completed(document_id)["done"]
        assert again.search("document of the mill")
        assert again.http.get(f"/documents/{before[0]}/content").content.startswith(b"document 0")
    finally:
        assert again.stop() == 0
    refused = Started("restore", *to, str(folder / "file"))
    assert refused.wait() == 69
    assert "is not empty" in refused.said[-1]


def test_restore_that_is_killed_is_told_of_and_can_be_run_again(
    admin: Sync, addresses: Addresses, folder: Path
) -> None:
    assert addresses.admin is not None
    uploaded(admin)
    backup.back_up(addresses.admin, folder / "file")
    to = folder / "new"
    killed = Started("restore", "--data-dir", str(to), str(folder / "file"))
    until(lambda: (to / "restoring" / "postgres").exists() or None, "the cluster is being filled")
    killed.process.send_signal(signal.SIGKILL)
    killed.wait()
    if not (to / "postgres").exists() and not (to / "restoring" / "whole").exists():
        with pytest.raises(Unavailable, match="Run it again"):
            embedded_postgres.start(to)
        data_folder.restore(to, folder / "file", MODEL)
    with embedded_postgres.start(to) as server:
        assert contents(server.admin_url)["documents"] == contents(addresses.admin)["documents"]


STEPS = ["before", "old password moved", "old moved", "password moved", "all moved"]


@pytest.mark.parametrize("step", STEPS)
def test_move_into_place_goes_on_wherever_it_was_cut_off(folder: Path, step: str) -> None:
    data = folder / "data"
    embedded_postgres.start(data).stop()
    embedded_postgres.start(data / "restoring").stop()
    new = data / "restoring"
    old_password = (data / "superuser.password").read_text()
    (data / "postgres" / "old").touch()
    (new / "whole").touch()
    moves = (
        (data / "superuser.password", data / "superuser.password-18"),
        (data / "postgres", data / "postgres-18"),
        (new / "superuser.password", data / "superuser.password"),
        (new / "postgres", data / "postgres"),
    )
    for old, moved in moves[: STEPS.index(step)]:
        old.rename(moved)
    with (
        embedded_postgres.start(data) as server,
        connect(server.admin_url) as connection,
    ):
        assert connection.execute("select 1 as one").fetchone() == {"one": 1}
    assert not new.exists()
    assert (data / "postgres-18" / "old").exists()
    assert (data / "superuser.password-18").read_text() == old_password
    assert not (data / "postgres" / "old").exists()


# an earlier version of PostgreSQL ---------------------------------------------------------


@pytest.fixture
def of_an_earlier_version(folder: Path) -> Path:
    """A docmill's data as PostgreSQL 16 writes them, with a document that is complete."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    account = account_for(data, data / "postgres", binary("postgres", OLD_MAJOR))
    make_private(data / "postgres", account)
    password = data / "superuser.password"
    password.write_text("old password")
    os.chown(password, account.uid, account.gid)
    initdb = binary("initdb", OLD_MAJOR)
    flags = ("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
    subprocess.run(
        [*account.prefix, initdb, f"--pgdata={data / 'postgres'}", f"--pwfile={password}", *flags],
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    with embedded_postgres.start(data, major=OLD_MAJOR) as server:
        migrate.migrate(server.admin_url, MODEL)
        served = Docmill(None, env={"DOCMILL_DATABASE_URL": server.admin_url})
        served.completed(served.upload("old.txt", b"written by an earlier version"))
        assert served.stop() == 0
    return data


def test_data_of_an_earlier_version_are_upgraded_by_one_command(
    of_an_earlier_version: Path,
) -> None:
    data = of_an_earlier_version
    with embedded_postgres.start(data, major=OLD_MAJOR) as server:
        before = contents(server.admin_url)
        with pytest.raises(Unavailable, match="Stop docmill first"):
            data_folder.upgrade(data, MODEL)
    where = ("--data-dir", str(data))
    refused = Started("serve", "--port", "0", *where)
    assert refused.wait() == 69
    assert "made by PostgreSQL 16" in refused.said[-1]
    assert "docmill upgrade-data" in refused.said[-1]
    upgraded = Started("upgrade-data", *where)
    assert upgraded.wait() == 0, upgraded.said
    assert f"Remove {data / 'postgres-16'}" in upgraded.said[-1]
    with embedded_postgres.start(data) as server:
        after = contents(server.admin_url)
    assert after == before
    assert len(before["embeddings"]) == 1
    served = Docmill(data)
    assert served.search("earlier version")[0]["filename"] == "old.txt"
    served.completed(served.upload("new.txt", b"written by this version"))
    assert served.stop() == 0
    again = Started("upgrade-data", *where)
    assert again.wait() == 0
    assert again.said == ["nothing to do: the data are of this version"]
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == [
        "postgres", "postgres-16", "socket",
    ]  # fmt: skip


def test_upgrade_that_fails_leaves_the_old_data_as_they_were(
    of_an_earlier_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = of_an_earlier_version

    def fail(*_: object) -> None:
        raise Unavailable("the disk broke")

    monkeypatch.setattr(backup, "restore", fail)
    with pytest.raises(Unavailable, match="the disk broke"):
        data_folder.upgrade(data, MODEL)
    assert not (data / "restoring").exists()
    assert not (data / "upgrade.backup").exists()
    with (
        embedded_postgres.start(data, major=OLD_MAJOR) as server,
        connect(server.admin_url) as connection,
    ):
        row = connection.execute("select count(*) as n from docmill.documents").fetchone()
        assert row == {"n": 1}


def test_data_of_a_version_that_nobody_brings_are_told_of(folder: Path) -> None:
    data = folder / "data"
    embedded_postgres.start(data).stop()
    (data / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(Unavailable, match="brings no programs of that version"):
        data_folder.upgrade(data, MODEL)
    with pytest.raises(Unavailable, match="There are no data of docmill"):
        data_folder.upgrade(folder / "elsewhere", MODEL)
