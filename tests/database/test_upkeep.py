"""What `docmill doctor` says of a database that does not keep clean, and how to mend it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from docmill import embedded_postgres, migrate, upkeep
from docmill.database import Addresses, Sync, connect
from made_rows import uploaded


@pytest.fixture
def quiet(admin: Sync) -> Iterator[Sync]:
    """No vacuum comes between."""
    admin.execute("alter table workers set (autovacuum_enabled = off)")
    yield admin
    admin.execute("alter table workers reset (autovacuum_enabled)")


def test_table_that_vacuum_does_not_keep_up_with_is_named(quiet: Sync) -> None:
    quiet.execute(
        "insert into workers (id, slots) select n::text, 1 from generate_series(1, 1000) n"
    )
    quiet.execute("delete from workers where id::int > 100")
    quiet.execute("select pg_stat_force_next_flush()")
    (said,) = upkeep.dead_rows(quiet, few=500)
    assert "workers has 900 dead rows beside 100 live ones" in said
    assert "`vacuum docmill.workers`" in said
    quiet.execute("vacuum docmill.workers")
    quiet.execute("select pg_stat_force_next_flush()")
    assert upkeep.dead_rows(quiet, few=500) == []


def test_transaction_that_was_left_open_is_named_with_the_way_to_end_it(
    admin: Sync, addresses: Addresses
) -> None:
    assert upkeep.holders(admin, seconds=60) == []
    with connect(addresses.worker) as forgotten:
        pid = forgotten.info.backend_pid
        forgotten.execute("select count(*) from documents")
        admin.execute("select pg_sleep(0.02)")
        said = upkeep.holders(admin, seconds=0.01)
        assert any(f"pg_terminate_backend({pid})" in sentence for sentence in said)
        assert any("docmill (idle in transaction)" in sentence for sentence in said)


def test_prepared_transaction_and_slot_that_nobody_reads_are_named(tmp_path: Path) -> None:
    with _server_with(tmp_path, max_prepared_transactions="2") as admin:
        admin.execute("begin")
        admin.execute("create table forgotten ()")
        admin.execute("prepare transaction 'left-over'")
        admin.execute("select pg_create_physical_replication_slot('unread', true)")
        prepared, slot = upkeep.holders(admin, seconds=0)
        assert "rollback prepared 'left-over'" in prepared
        assert "pg_drop_replication_slot('unread')" in slot
        admin.execute("rollback prepared 'left-over'")
        admin.execute("select pg_drop_replication_slot('unread')")
        assert upkeep.holders(admin, seconds=0) == []


@contextlib.contextmanager
def _server_with(folder: Path, **settings: str) -> Iterator[Sync]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded_postgres, "SETTINGS", {**embedded_postgres.SETTINGS, **settings})
        with (
            embedded_postgres.start(folder) as server,
            connect(server.admin_url, autocommit=True) as admin,
        ):
            yield admin


def test_index_that_a_burst_has_left_large_is_named_until_it_is_built_anew(admin: Sync) -> None:
    for _ in range(300):
        uploaded(admin)
    admin.execute("analyze")
    assert "jobs_per_owner" not in " ".join(upkeep.fat_indexes(admin, large=8192))
    admin.execute("delete from documents")
    admin.execute("vacuum processing_jobs")
    said = upkeep.fat_indexes(admin, large=8192)
    assert any("for 0 rows" in sentence and "jobs_per_owner" in sentence for sentence in said)
    admin.execute("reindex table processing_jobs")
    assert not any("processing_jobs" in sentence for sentence in upkeep.fat_indexes(admin, 8192))


def test_transaction_ids_that_come_to_their_end_are_told(admin: Sync) -> None:
    assert upkeep.worn_out_ids(admin) == []
    (said,) = upkeep.worn_out_ids(admin, old=0)
    assert "vacuum (freeze)" in said


def test_hot_tables_are_vacuumed_at_a_fiftieth(admin: Sync) -> None:
    rows = admin.execute(
        "select c.relname, coalesce(array_to_string(c.reloptions, ' '), '')"
        "   || ' toast.' || coalesce(array_to_string(t.reloptions, ' '), '') as said"
        " from pg_class c left join pg_class t on t.oid = c.reltoastrelid"
        " where c.relnamespace = 'docmill'::regnamespace and c.relkind = 'r'"
    ).fetchall()
    said = {row["relname"]: row["said"] for row in rows}
    fiftieth = "autovacuum_vacuum_scale_factor=0.02"
    for table in ("processing_jobs", "job_attempts", "documents", "chunks", "embeddings", "files"):
        assert fiftieth in said[table].partition(" toast.")[0], table
    for table in ("file_parts", "pages", "chunks"):
        assert fiftieth in said[table].partition("toast.")[2], table
    assert migrate.newest_version() >= 14
