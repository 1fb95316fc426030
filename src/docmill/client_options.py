"""What every client command has: its options, a client, and sentences for what goes wrong."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from docmill.client import Client, Refused, Unreachable
from docmill.client_memory import FileMemory, default_path

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
ELSEWHERE = "Another address is named by --url or DOCMILL_URL."

Command = Callable[..., None]


def common(command: Command) -> Command:
    """The options of every client command."""
    url = click.option(
        "--url",
        envvar="DOCMILL_URL",
        default="http://127.0.0.1:8000",
        show_default=True,
        help="Where docmill is served. [DOCMILL_URL]",
    )
    as_json = click.option(
        "--json", "as_json", is_flag=True, help="One JSON object per line, for scripts."
    )
    return url(as_json(command))


@contextmanager
def client_of(url: str, patience_seconds: float = 0.0) -> Iterator[Client]:
    """A client for the length of a block; what goes wrong ends the program with a sentence."""
    memory = FileMemory(default_path())
    with Client(url, patience_seconds=patience_seconds, memory=memory) as client:
        try:
            yield client
        except Refused as error:
            click.echo(f"docmill: {error} ({error.code})", err=True)
            sys.exit(EXIT_FAILED)
        except Unreachable as error:
            click.echo(f"docmill: {error} {ELSEWHERE}", err=True)
            sys.exit(EXIT_UNAVAILABLE)
