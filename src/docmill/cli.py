"""The `docmill` command: servers and the database here, what a user does in `client_commands`."""

import dataclasses
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click
import psycopg

from docmill import __version__, doctor, embed, migrate, serve, worker
from docmill.client_commands import COMMANDS
from docmill.config import Settings, read_settings, shown, variable
from docmill.database import Addresses, addresses, connect
from docmill.errors import SettingError, Unavailable
from docmill.migrate import EmbeddingModel
from docmill.postgres_keeper import PostgresKeeper
from docmill.upload_command import upload

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE
EXIT_TEMPORARY = 75  # EX_TEMPFAIL: cron may simply try again

Command = Callable[..., None]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="docmill")
def main() -> None:
    """Take documents over HTTP and make them searchable in the background.

    \b
    docmill serve                   start everything on this machine
    docmill upload report.pdf --wait
    docmill search "what was agreed on the roof"

    Every setting of a command is also an environment variable, DOCMILL_ and its name.
    """  # noqa: D301 - click's mark for a block that is not wrapped


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
    except SettingError as error:
        click.echo(f"docmill: {error}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    return settings


@contextmanager
def explained(status: int = EXIT_UNAVAILABLE) -> Iterator[None]:
    """End the program with a sentence where something it needs is not there."""
    try:
        yield
    except Unavailable as error:
        click.echo(f"docmill: {error}", err=True)
        sys.exit(status)
    except psycopg.OperationalError as error:
        click.echo(f"docmill: The database can't be reached: {str(error).strip()}", err=True)
        sys.exit(status)


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


DATABASE_FLAGS = ("data_dir", "database_url")
WORK_FLAGS = ("slots", "lease_seconds", "max_attempts", "embedder", "log_level")


@main.command("serve")
@settings_as_flags("host", "port", *DATABASE_FLAGS, "workers", *WORK_FLAGS, "max_upload_bytes")
def serve_command(**flags: str | None) -> None:
    """Start page, API and workers; with an embedded PostgreSQL unless DATABASE_URL is set."""
    settings = configured(flags)
    # Worker processes read the same settings from the environment.
    with explained(), sigterm_unwinds(), database(settings) as where, environment(flags):
        check_schema(where)
        serve.serve(settings, where)


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


@main.command("worker")
@click.option("--once", is_flag=True, help="Work what is due, then exit: one cron tick.")
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0.1),
    default=50.0,
    show_default=True,
    help="With --once: give back what is not finished by then.",
)
@click.option("--end-with-stdin", is_flag=True, hidden=True)
@settings_as_flags(*DATABASE_FLAGS, *WORK_FLAGS, "drain_seconds")
def worker_command(
    *, once: bool, max_seconds: float, end_with_stdin: bool, **flags: str | None
) -> None:
    """Start a worker: as many, on as many machines, as wanted, on the same database.

    SIGTERM drains it: what it holds is finished, or given back without counting an attempt.
    """
    settings = configured(flags)
    unavailable = EXIT_TEMPORARY if once else EXIT_UNAVAILABLE
    with explained(unavailable), sigterm_unwinds(), database(settings) as where:
        check_schema(where)
        with explained(unavailable):
            working = worker.Worker(settings, where.worker, embed.create_embedder(settings))
        stop_on_signals(working)
        if end_with_stdin:
            stop_when_read(0, working)
        if once:
            click.echo(json.dumps(dataclasses.asdict(working.run_what_is_due(max_seconds))))
        else:
            working.run_until_stopped()


def check_schema(where: Addresses) -> None:
    """Refuse a database whose schema this docmill can't work on."""
    with connect(where.worker) as connection:
        if reason := migrate.why_unfit(connection):
            raise Unavailable(reason)


def stop_on_signals(working: worker.Worker) -> None:
    """Drain at the first SIGTERM or SIGINT; the second one ends the process at once.

    The handler only writes to a pipe. It runs between any two steps of the main thread, which may
    hold the very lock that stopping takes: a worker that was told so would stand still for ever.
    """
    told, tell = os.pipe()

    def drain(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.write(tell, b"!")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, drain)
    stop_when_read(told, working)


def stop_when_read(pipe: int, working: worker.Worker) -> None:
    """Drain when something comes out of a pipe, or when whoever held its other end is gone."""

    def wait() -> None:
        # Not sys.stdin, where that is the pipe: its lock, held by a thread at the process's end, is
        # a fatal error.
        os.read(pipe, 1)
        working.stop()

    threading.Thread(target=wait, name="stop", daemon=True).start()


@main.command("migrate")
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


@main.command("doctor")
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
    for name, value in shown(settings).items():
        mark = "" if value == defaults[name] else "  (set)"
        click.echo(f"  {name:24} {value}{mark}")
    click.echo()
    for finding in findings:
        mark = click.style("ok  ", fg="green") if finding.ok else click.style("BAD ", fg="red")
        click.echo(f"{mark} {finding.what}: {finding.detail} {finding.remedy}".rstrip())


for client_command in (upload, *COMMANDS):
    main.add_command(client_command)
