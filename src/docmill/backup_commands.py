"""`docmill backup`, `docmill restore` and `docmill upgrade-data`."""

from pathlib import Path

import click

from docmill import backup, data_folder, embed
from docmill.command_settings import (
    DATABASE_FLAGS,
    admin_address,
    configured,
    explained,
    settings_as_flags,
    sigterm_unwinds,
)
from docmill.config import Settings
from docmill.errors import Unavailable
from docmill.migrate import EmbeddingModel

FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command("backup")
@settings_as_flags(*DATABASE_FLAGS, "log_level")
@FILE
def backup_command(file: Path, **flags: str | None) -> None:
    """Write all documents and their history into FILE, as of now, while everything goes on."""
    settings = configured(flags)
    with explained(), sigterm_unwinds():
        _refuse_without_data(settings)
        with admin_address(settings) as admin:
            label = backup.back_up(admin, file.absolute())
    click.echo(f"{file}: {label.size:,} bytes, of schema {label.schema}")


@click.command("restore")
@settings_as_flags(*DATABASE_FLAGS, "embedder", "log_level")
@FILE
def restore_command(file: Path, **flags: str | None) -> None:
    """Make an empty data folder, or a database without docmill, one with all that is in FILE."""
    settings = configured(flags)
    with explained(), sigterm_unwinds():
        model = EmbeddingModel(*embed.model_of(settings))
        if settings.database_url:
            label = backup.restore(settings.database_url, file, model)
        else:
            label = data_folder.restore(settings.data_dir, file, model)
    click.echo(f"{_whereto(settings)}: restored, of schema {label.schema}")


@click.command("upgrade-data")
@settings_as_flags("data_dir", "embedder", "log_level")
def upgrade_command(**flags: str | None) -> None:
    """Move the data folder from an earlier version of PostgreSQL to the one that docmill brings."""
    settings = configured(flags)
    with explained(), sigterm_unwinds():
        model = EmbeddingModel(*embed.model_of(settings))
        label = data_folder.upgrade(settings.data_dir, model)
    if label is None:
        click.echo("nothing to do: the data are of this version")
        return
    old = settings.data_dir / f"postgres-{label.postgres}"
    click.echo(f"{settings.data_dir}: upgraded. Remove {old}, the old data, when all is well.")


def _refuse_without_data(settings: Settings) -> None:
    """Where nothing is, nothing is made to be backed up."""
    if not settings.database_url and not (settings.data_dir / "postgres").exists():
        raise Unavailable(f"There are no data of docmill in {settings.data_dir}.")


def _whereto(settings: Settings) -> str:
    return "the database" if settings.database_url else str(settings.data_dir)
