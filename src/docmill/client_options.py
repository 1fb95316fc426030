"""What every client command has: its options, a client, and sentences for what goes wrong."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from docmill.client import Client, NotAllowed, Refused, Unreachable
from docmill.client_memory import FileMemory, default_path

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
ELSEWHERE = "Another address is named by --url or DOCMILL_URL."
# No flag: everybody on a machine can read the arguments of everybody's programs.
KEY = "DOCMILL_API_KEY"
WHOSE_KEY = f"{KEY} holds the key or token that is shown."

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
    with Client(url, key_of_user(), patience_seconds=patience_seconds, memory=memory) as client:
        try:
            yield client
        except Refused as error:
            click.echo(f"docmill: {in_words(error)} ({error.code})", err=True)
            sys.exit(EXIT_FAILED)
        except Unreachable as error:
            click.echo(f"docmill: {error} {ELSEWHERE}", err=True)
            sys.exit(EXIT_UNAVAILABLE)


def key_of_user() -> str | None:
    """The key or token to show, where there is one.

    Raises:
        click.UsageError: it can't be one.
    """
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise click.UsageError(
            f"{KEY} is no key and no token: those are letters, digits and signs without spaces."
        )
    return key or None


def in_words(error: Refused) -> str:
    """A refusal, with what one can do about it here."""
    return f"{error} {WHOSE_KEY}" if isinstance(error, NotAllowed) else str(error)
