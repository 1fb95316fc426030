"""`docmill keys`: make, list and revoke the API keys of this service."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from docmill import api_keys
from docmill.command_settings import (
    DATABASE_FLAGS,
    configured,
    database,
    explained,
    settings_as_flags,
    sigterm_unwinds,
)
from docmill.database import Row, Sync, connect
from docmill.errors import Unavailable
from docmill.identity import SCOPES

ID_CHARACTERS = 16
NAME_CHARACTERS = 200
DURATION = re.compile(r"^(?P<number>[1-9][0-9]{0,4})(?P<unit>[hdwy])$")
UNITS = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}


class Duration(click.ParamType[timedelta]):
    """A number with a unit, such as 90d."""

    name = "duration"

    def convert(
        self, value: str | timedelta, _: click.Parameter | None, __: click.Context | None
    ) -> timedelta:
        """The time that is meant."""
        match = DURATION.match(str(value))
        if match is None:
            self.fail(f"{value!r} is no duration such as 12h, 90d, 6w or 1y.")
        return int(match["number"]) * UNITS[match["unit"]]


class Scopes(click.ParamType[list[str]]):
    """Names of scopes with commas between."""

    name = "scopes"

    def convert(
        self, value: str | list[str], _: click.Parameter | None, __: click.Context | None
    ) -> list[str]:
        """The scopes, each once, in their usual order."""
        given = (
            {name.strip() for name in value.split(",")} if isinstance(value, str) else set(value)
        )
        if unknown := sorted(given - set(SCOPES)):
            self.fail(f"{unknown[0]!r} is no scope; there are {', '.join(SCOPES)}.")
        return [scope for scope in SCOPES if scope in given]


class Name(click.ParamType[str]):
    """One line of text that is not empty and not long."""

    name = "name"

    def convert(self, value: str, _: click.Parameter | None, __: click.Context | None) -> str:
        """The text, as it is."""
        if not 0 < len(value) <= NAME_CHARACTERS or not value.isprintable():
            self.fail(f"a name has 1 to {NAME_CHARACTERS} characters, all of them visible.")
        return value


@click.group()
def keys() -> None:
    """Make, list and revoke API keys. They count where DOCMILL_AUTH has `keys`."""


@keys.command("create")
@click.option("--owner", required=True, type=Name(), help="Whose documents it opens: any name.")
@click.option(
    "--scope",
    "scopes",
    type=Scopes(),
    default="upload,read",
    show_default=True,
    help=f"What it may do: {', '.join(SCOPES)}, with commas between.",
)
@click.option("--label", type=Name(), help="What it is for, to tell it from others.")
@click.option("--expires", type=Duration(), help="How long it is good, such as 90d; else for ever.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on one line.")
@settings_as_flags(*DATABASE_FLAGS, "log_level")
def create(
    *,
    owner: str,
    scopes: list[str],
    label: str | None,
    expires: timedelta | None,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Make a key for an owner, and show it: this once only."""
    with _key_database(flags) as connection:
        made = api_keys.create(connection, owner, label or "", scopes, expires)
    if as_json:
        click.echo(json.dumps({"id": made.id, "key": made.text, "owner": owner, "scopes": scopes}))
        return
    click.echo(made.text)
    lasts = "until it is revoked" if expires is None else f"for {expires.days or expires}"
    unit = " days" if expires is not None and expires.days else ""
    click.echo(
        f"Key {made.id} of {owner} may {', '.join(scopes)}, {lasts}{unit}. Keep it now: it is not"
        " shown again.",
        err=True,
    )


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@settings_as_flags(*DATABASE_FLAGS, "log_level")
def list_keys(*, as_json: bool, **flags: str | None) -> None:
    """Show all keys: whose, what they may, and when and from where they were used last."""
    with _key_database(flags) as connection:
        found = api_keys.list_keys(connection)
    if as_json:
        for key in found:
            click.echo(json.dumps(key, default=str))
    elif found:
        Console(highlight=False).print(_table(found))
    else:
        click.echo("There are no keys. Make one with: docmill keys create --owner NAME")


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@settings_as_flags(*DATABASE_FLAGS, "log_level")
def revoke(*, key_id: str, **flags: str | None) -> None:
    """End the key ID, and every browser's session that was opened by it, within seconds."""
    with _key_database(flags) as connection:
        was_good = api_keys.revoke(connection, key_id)
    if not was_good:
        raise click.ClickException(
            f"There is no key {key_id!r} that could be revoked; `docmill keys list` shows all."
        )
    click.echo(f"Key {key_id} is revoked.")


@contextmanager
def _key_database(flags: dict[str, str | None]) -> Iterator[Sync]:
    """The database, as the owner of its tables: nobody else sees keys."""
    settings = configured(flags)
    with explained(), sigterm_unwinds(), database(settings) as where:
        if where.admin is None:
            raise Unavailable("Keys need DOCMILL_DATABASE_URL, the address of an admin role.")
        with connect(where.admin) as connection:
            connection.execute("set local role docmill_owner")
            yield connection


def _table(found: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=ID_CHARACTERS)  # it is what `revoke` takes
    for heading in ("owner", "label", "scopes", "state", "expires"):
        table.add_column(heading, overflow="fold")
    table.add_column("used", justify="right")
    table.add_column("last use", overflow="fold")
    for key in found:
        good = key["state"] == "good"
        table.add_row(
            Text(key["id"]),
            Text(key["owner_name"]),
            Text(key["label"]),
            ",".join(key["scopes"]),
            Text(key["state"], style="" if good else "dim"),
            _day(key["expires_at"]),
            str(key["uses"]),
            Text(_last_use(key)),
        )
    return table


def _day(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d}" if at else "never"


def _last_use(key: Row) -> str:
    at: datetime | None = key["last_used_at"]
    return f"{at.astimezone():%Y-%m-%d %H:%M} from {key['last_used_from']}" if at else "never"
