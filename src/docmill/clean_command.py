"""`docmill clean`: drop at once what workers drop little by little."""

import json
from collections import Counter

import click

from docmill import retention
from docmill.command_settings import (
    DATABASE_FLAGS,
    check_schema,
    configured,
    database,
    explained,
    settings_as_flags,
    sigterm_unwinds,
)
from docmill.database import WorkerDatabase
from docmill.retention import Keep, Place


@click.command("clean")
@settings_as_flags(
    *DATABASE_FLAGS,
    "keep_history_days",
    "keep_webhook_log_days",
    "keep_operator_log_days",
    "log_level",
)
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on one line.")
def clean_command(*, dry_run: bool, as_json: bool, **flags: str | None) -> None:
    """Drop what is needed no longer, at once. Workers do the same by themselves, bit by bit."""
    settings = configured(flags)
    keep = Keep.of(settings)
    with explained(), sigterm_unwinds(), database(settings, migrated=False) as where:
        check_schema(where)
        rows = WorkerDatabase(where.worker, connections=1)
        try:
            found = _counted(rows, keep) if dry_run else _dropped(rows, keep)
        finally:
            rows.close()
    if as_json:
        click.echo(json.dumps(found))
        return
    verb = "would go" if dry_run else "dropped"
    for table, number in sorted(found.items()):
        if number:
            click.echo(f"{verb} {number:10} {table}")
    if not any(found.values()):
        click.echo("nothing to do: everything that is kept is still needed")


def _counted(rows: WorkerDatabase, keep: Keep) -> dict[str, int]:
    with rows.reading() as connection:
        return retention.count(connection, keep)


def _dropped(rows: WorkerDatabase, keep: Keep) -> dict[str, int]:
    """By age until nothing more goes, and once around by the sweep; each batch is a commit."""
    dropped: Counter[str] = Counter()
    while True:
        with rows.commit("prune") as connection:
            batch = retention.prune(connection, keep)
        dropped += batch
        if not batch:
            break
    place = Place()
    while not place.is_the_end:
        with rows.commit("sweep") as connection:
            place, batch = retention.sweep(connection, keep, place)
        dropped += batch
    return dict(dropped)
