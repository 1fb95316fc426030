"""Whether the database keeps clean when nobody looks: dead rows, what holds vacuum up, fat indexes.

For `docmill doctor`. A finding says what to do; nothing here changes anything.
"""

from docmill.database import Statements, Sync

STATEMENTS = Statements("upkeep")

# Fewer dead rows than this are no finding, however few the live ones are.
FEW_ROWS = 10_000
# docmill's own transactions last seconds, and idle ones are ended after half a minute.
LONG_SECONDS = 3600.0
LARGE_BYTES = 64 << 20
# Twice the longest entry that is usual; most have less than a hundred bytes.
ENTRY_BYTES = 400
# Autovacuum freezes at 200 million by itself.
OLD_ID = 1_000_000_000
MIB = 1 << 20


def dead_rows(connection: Sync, few: int = FEW_ROWS) -> list[str]:
    """Tables that vacuum does not keep up with, each in a sentence with what to do."""
    rows = connection.execute(STATEMENTS.dead_rows, {"few": few}).fetchall()
    return [
        f"{row['table']} has {row['dead']:,} dead rows beside {row['live']:,} live ones (last"
        f" vacuumed: {row['vacuumed']}). Run `vacuum docmill.{row['table']}`; if that does not"
        " help, something holds it up."
        for row in rows
    ]


def holders(connection: Sync, seconds: float = LONG_SECONDS) -> list[str]:
    """What keeps vacuum from cleaning, each in a sentence with what to do."""
    rows = connection.execute(STATEMENTS.holders, {"long": seconds}).fetchall()
    return [_held(row["kind"], row["name"], row["who"], row["seconds"]) for row in rows]


def fat_indexes(connection: Sync, large: int = LARGE_BYTES) -> list[str]:
    """Indexes far larger than their rows need, each in a sentence with what to do."""
    told = {"large": large, "entry": ENTRY_BYTES}
    rows = connection.execute(STATEMENTS.fat_indexes, told).fetchall()
    return [
        f"{row['index']} has {row['bytes'] / MIB:,.0f} MiB for {row['live']:,} rows. Run"
        f" `reindex index concurrently docmill.{row['index']}`."
        for row in rows
    ]


def worn_out_ids(connection: Sync, old: int = OLD_ID) -> list[str]:
    """That transaction ids come to their end, in a sentence with what to do."""
    row = connection.execute(STATEMENTS.oldest_id).fetchone()
    age = row["age"] if row else 0
    if age < old:
        return []
    said = (
        f"{age:,} transaction ids are used since the oldest row was frozen; at 2,000,000,000"
        " PostgreSQL stops. Run `vacuum (freeze)`, and see that autovacuum is on."
    )
    return [said]


def _held(kind: str, name: str, who: str, seconds: int | None) -> str:
    hours = f" for {(seconds or 0) / 3600:,.1f} hours"
    match kind:
        case "transaction":
            return (
                f"A transaction of {who} is open{hours}. End what left it open, or run"
                f" `select pg_terminate_backend({name})`."
            )
        case "prepared transaction":
            return (
                f"The prepared transaction {name} of {who} waits{hours}. docmill prepares none: run"
                f" `rollback prepared '{name}'` (or `commit prepared`)."
            )
        case _:
            return (
                f"Nobody reads the replication slot {name} ({who}), which keeps dead rows and WAL."
                f" Start its reader, or run `select pg_drop_replication_slot('{name}')`."
            )
