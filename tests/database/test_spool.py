"""Copies of files that parsers read: whole, shared, without a name, and only the last kept."""

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from docmill.database import Addresses, Sync, WorkerDatabase
from docmill.errors import Failure
from docmill.spool import COPIES_KEPT, Spool
from made_rows import OWNER

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def spool(addresses: Addresses, folder: Path) -> Iterator[Spool]:
    assert folder.is_dir()
    database = WorkerDatabase(addresses.worker, connections=2)
    spool = Spool(database)
    yield spool
    spool.close()
    database.close()


def stored(admin: Sync, *parts: bytes) -> UUID:
    """A file whose bytes lie in these parts."""
    whole = b"".join(parts)
    row = admin.execute(
        "insert into files (owner_id, sha256, size) values (%s, sha256(%s), %s) returning id",
        [OWNER, whole, len(whole)],
    ).fetchone()
    assert row is not None
    place = 0
    for part in parts:
        admin.execute(
            "insert into file_parts (owner_id, file_id, position, data) values (%s, %s, %s, %s)",
            [OWNER, row["id"], place, part],
        )
        place += len(part)
    return UUID(str(row["id"]))


@pytest.mark.parametrize("count", [1, 4, 6, 8])
def test_copy_is_whole_and_has_no_name(admin: Sync, spool: Spool, folder: Path, count: int) -> None:
    parts = [bytes([number]) * MIB for number in range(count)]

    with spool.file(stored(admin, *parts)) as file:
        file.seek(0)
        assert file.read() == b"".join(parts)
        assert list(folder.iterdir()) == []


def test_copy_is_shared_and_filled_once(admin: Sync, spool: Spool) -> None:
    file_id = stored(admin, b"ferry")

    with spool.file(file_id) as one, spool.file(file_id) as other:
        assert one is other
    admin.execute("delete from files")
    with spool.file(file_id) as again:
        again.seek(0)
        assert again.read() == b"ferry"


def test_only_the_last_copies_are_kept_and_none_in_use_is_dropped(
    admin: Sync, spool: Spool
) -> None:
    first = stored(admin, b"first")
    with spool.file(first) as file:
        for number in range(COPIES_KEPT + 2):
            with spool.file(stored(admin, b"%d" % number)):
                pass
        file.seek(0)
        assert file.read() == b"first"
    assert len(spool._copies) == COPIES_KEPT


def test_full_folder_is_told_and_goes_on_when_there_is_room(admin: Sync, spool: Spool) -> None:
    file_id = stored(admin, b"a" * MIB, b"b" * MIB)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + 100, hard))
    try:
        with pytest.raises(Failure) as caught, spool.file(file_id):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert caught.value.code == "STORAGE_FULL"
    with spool.file(file_id) as file:
        file.seek(0)
        assert file.read() == b"a" * MIB + b"b" * MIB
