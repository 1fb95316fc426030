"""What commands here have in common: settings as flags, the database, sentences for failures."""

import dataclasses
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click
import psycopg
from psycopg.conninfo import conninfo_to_dict

from docmill import embed, logs, migrate
from docmill.config import Settings, read_settings, variable
from docmill.database import Addresses, addresses, connect
from docmill.database_trouble import explain
from docmill.errors import SettingError, Unavailable
from docmill.migrate import EmbeddingModel
from docmill.postgres_keeper import PostgresKeeper

log = logging.getLogger(__name__)

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE

ADDRESSES = ("database_url", "api_database_url", "worker_database_url")
DATABASE_FLAGS = ("data_dir", "database_url")
WORK_FLAGS = ("slots", "lease_seconds", "max_attempts", "embedder", "log_level", "log_format")

Command = Callable[..., None]


def settings_as_flags(*names: str) -> Callable[[Command], Command]:
    """Give a command a flag for each of these settings."""
    rows = {row.name: row for row in dataclasses.fields(Settings)}

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            about = rows[name].metadata["about"]
            command = click.option(
                f"--{name.replace('_', '-')}", name, help=f"{about} [{variable(name)}]"
            )(command)
        return command

    return decorate


def configured(flags: dict[str, str | None]) -> Settings:
    """The checked settings of a command; a wrong one ends the program with its sentence."""
    try:
        settings = read_settings(flags=flags)
        refuse_unreadable_addresses(settings)
    except SettingError as error:
        click.echo(f"docmill: {error}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    logs.configure(settings.log_level, settings.log_format)
    return settings


def refuse_unreadable_addresses(settings: Settings) -> None:
    """Refuse what psycopg can't read, before it does so itself: its errors repeat parts of it.

    Raises:
        SettingError: an address is not well formed.
    """
    for name in ADDRESSES:
        if not _is_readable(getattr(settings, name) or ""):
            raise SettingError(
                f"{variable(name)} is a value (kept secret), but takes an address such as"
                " postgresql://user:password@host:5432/database; signs in the password that mean"
                " something in an address are written as %40 and so on."
            )


def _is_readable(address: str) -> bool:
    """Whether each part of an address can be what it stands for; a password may be in any part."""
    try:
        parts = conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        return False
    ports = str(parts.get("port") or "").split(",")
    return "@" not in str(parts.get("host")) and all(not p or p.isdecimal() for p in ports)


@contextmanager
def explained(status: int = EXIT_UNAVAILABLE) -> Iterator[None]:
    """End the program with a sentence where something it needs is not there."""
    try:
        yield
    except Unavailable as error:
        say_last(str(error))
        sys.exit(status)
    except psycopg.OperationalError as error:
        trouble = explain(error)
        say_last(f"The database can't be reached: {trouble.what}. {trouble.remedy}")
        sys.exit(status)


def say_last(sentence: str) -> None:
    """Say why the program ends, to whoever started it or reads its log."""
    if logs.is_json():
        log.critical(sentence)
    else:
        click.echo(f"docmill: {sentence}", err=True)


@contextmanager
def database(settings: Settings, *, migrated: bool = True) -> Iterator[Addresses]:
    """The database's addresses, with the embedded server running where it is used."""
    if settings.worker_database_url and not settings.database_url:
        api = settings.api_database_url or settings.worker_database_url
        yield Addresses(None, api, settings.worker_database_url)
        return
    with admin_address(settings) as admin:
        if migrated:
            migrate.migrate(admin, EmbeddingModel(*embed.model_of(settings)))
        yield addresses(admin, settings.api_database_url, settings.worker_database_url)


@contextmanager
def admin_address(settings: Settings) -> Iterator[str]:
    """The admin's address of the database that is named, or else of the embedded one."""
    if settings.database_url:
        yield settings.database_url
    else:
        with PostgresKeeper(settings.data_dir) as postgres:
            yield postgres.admin_url


@contextmanager
def environment(flags: dict[str, str | None]) -> Iterator[None]:
    """Hand flags on to child processes as environment variables."""
    os.environ.update({variable(name): text for name, text in flags.items() if text is not None})
    yield


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM end the program through its `finally` blocks, so that nothing is left running."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("", err=True)
    finally:
        signal.signal(signal.SIGTERM, before)


def check_schema(where: Addresses) -> None:
    """Refuse a database whose schema this docmill can't work on."""
    with connect(where.worker) as connection:
        if reason := migrate.why_unfit(connection):
            raise Unavailable(reason)
