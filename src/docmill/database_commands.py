"""`docmill migrate` and `docmill doctor`."""

import dataclasses
import json
import sys
from typing import Any

import click

from docmill import __version__, doctor, embed, migrate
from docmill.command_settings import (
    DATABASE_FLAGS,
    configured,
    database,
    explained,
    settings_as_flags,
    sigterm_unwinds,
)
from docmill.config import Settings, shown, variable
from docmill.errors import Unavailable
from docmill.migrate import EmbeddingModel


@click.command("migrate")
@settings_as_flags(*DATABASE_FLAGS, "embedder", "log_level")
def migrate_command(**flags: str | None) -> None:
    """Bring the database to this version's schema. Safe to run at any time, by anyone at once."""
    settings = configured(flags)
    with explained(), sigterm_unwinds(), database(settings, migrated=False) as where:
        if where.admin is None:
            raise Unavailable("Migrating needs DOCMILL_DATABASE_URL, the address of an admin role.")
        applied = migrate.migrate(where.admin, EmbeddingModel(*embed.model_of(settings)))
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to do: the schema is up to date")


@click.command("doctor")
@settings_as_flags(*DATABASE_FLAGS, "embedder", "log_level")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on one line.")
def doctor_command(*, as_json: bool, **flags: str | None) -> None:
    """Say what is configured, what is reachable, what is wrong and how to mend it."""
    settings = configured(flags)
    with explained(), sigterm_unwinds(), database(settings, migrated=False) as where:
        findings = list(doctor.examine(settings, where))
    if as_json:
        click.echo(json.dumps(_report(settings, findings)))
    else:
        _print_report(settings, findings)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


def _report(settings: Settings, findings: list[doctor.Finding]) -> dict[str, Any]:
    return {
        "version": __version__,
        "settings": shown(settings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }


def _print_report(settings: Settings, findings: list[doctor.Finding]) -> None:
    click.echo(f"docmill {__version__}\n")
    defaults = shown(Settings())
    chosen = {name: value for name, value in shown(settings).items() if value != defaults[name]}
    click.echo("Settings that somebody chose:" if chosen else "All settings are as they come.")
    for name, value in chosen.items():
        click.echo(f"  {variable(name)} {value}")
    click.echo()
    for finding in findings:
        mark = click.style("ok  ", fg="green") if finding.ok else click.style("BAD ", fg="red")
        click.echo(f"{mark} {finding.what}: {finding.detail}")
        if finding.remedy:
            click.echo(f"     {finding.remedy}")
