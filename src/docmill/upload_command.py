"""`docmill upload`: files are sent, resumed as often as it takes, and followed if wanted."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from docmill.client import Client, Document, DocumentFailed, Refused, Status, Unreachable
from docmill.client_options import EXIT_FAILED, EXIT_UNAVAILABLE, client_of, common, in_words
from docmill.client_words import megabytes, sentence_of

EXIT_INTERRUPTED = 130
AT_ONCE = 3
SENDING, ALL = 0.0, 100.0


@dataclass(frozen=True, slots=True)
class Sent:
    """How one file ended: its last status, or why it has none."""

    path: Path
    status: Status | None = None
    error: str | None = None
    code: str | None = None

    @property
    def exit_status(self) -> int:
        """What this file makes of the program's exit status."""
        if self.code == "UNREACHABLE":
            return EXIT_UNAVAILABLE
        ended_badly = self.status is not None and self.status["status"] in {"failed", "cancelled"}
        return EXIT_FAILED if self.error is not None or ended_badly else 0

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        shown: dict[str, Any] = {"file": str(self.path)}
        if self.status:
            shown |= self.status
        if self.error:
            shown["error"] = {"code": self.code, "detail": self.error}
        return shown


class Display(Protocol):
    """Shows how files are getting on; called from several threads."""

    def show(self, path: Path, sentence: str, percent: float) -> None:
        """Say how a file stands."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Stay until every file is searchable or has failed.")
@click.option("--collection", help="The collection to put the documents in.")
@click.option(
    "--external-id",
    help="Your own id for the document (of one file): sent again with other bytes, it is replaced.",
)
@click.option(
    "--priority",
    type=click.Choice(["high", "normal", "low"]),
    help="What of yours is worked on first.  [default: normal]",
)
@click.option(
    "--on-duplicate",
    type=click.Choice(["return_existing", "replace", "error"]),
    help="What to do with a file that is there already.  [default: return_existing]",
)
@click.option("--recursive", "-r", is_flag=True, help="Take the files below folders, too.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="How many seconds a server that is away is waited for.",
)
@common
def upload(
    *,
    files: tuple[Path, ...],
    wait: bool,
    recursive: bool,
    patience: float,
    url: str,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Upload FILES. Once a file is accepted, the work on it goes on whatever happens here.

    An upload that was cut off goes on where it was when the same command is given again.

    \b
    docmill upload report.pdf minutes.docx --wait
    """  # noqa: D301 - click's mark for a block that is not wrapped
    paths = list(_each_file(files, recursive=recursive))
    if fields["external_id"] and len(paths) > 1:
        raise click.UsageError("--external-id names one document; give one file.")
    with (
        client_of(url, patience) as client,
        _display(as_json=as_json) as display,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        jobs = [
            pool.submit(Sending(client, path, display).send, fields, wait=wait) for path in paths
        ]
        sent = _collect(pool, jobs)
    _report(sent, as_json=as_json)
    sys.exit(max((one.exit_status for one in sent), default=0))


def _collect(pool: ThreadPoolExecutor, jobs: list[Future[Sent]]) -> list[Sent]:
    """Wait for all files. Ctrl-C ends the waiting, and says that it ends nothing else."""
    try:
        return [job.result() for job in jobs]
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        click.echo(
            "\nWhat was accepted goes on in the background; look again by `docmill list`. What was"
            " on its way goes on when you give the same command again.",
            err=True,
        )
        # The threads still wait for the server; nothing of theirs is worth waiting for.
        os._exit(EXIT_INTERRUPTED)


def _each_file(paths: Iterable[Path], *, recursive: bool) -> Iterator[Path]:
    for path in paths:
        if recursive and path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        else:
            yield path


class Sending:
    """One file on its way, and how it is shown."""

    def __init__(self, client: Client, path: Path, display: Display) -> None:
        self._client = client
        self._path = path
        self._show = partial(display.show, path)
        self._doing = "uploading"
        self._percent = SENDING

    def send(self, fields: dict[str, Any], *, wait: bool) -> Sent:
        """Send the file, and follow its document if that is wanted."""
        if (reason := _unsendable(self._path)) is not None:
            return Sent(self._path, error=reason, code="FILE_UNREADABLE")
        try:
            document = self._client.upload(
                self._path, **fields, on_progress=self._on_bytes, on_away=self._on_away
            )
            self._show("accepted; the rest happens in the background", SENDING)
            return Sent(self._path, self._follow(document) if wait else document.status())
        except Refused as error:
            return Sent(self._path, error=in_words(error), code=error.code)
        except Unreachable as error:
            return Sent(self._path, error=_how_far(error), code="UNREACHABLE")
        except OSError as error:
            reason = f"It can't be read: {error.strerror}."
            return Sent(self._path, error=reason, code="FILE_UNREADABLE")

    def _follow(self, document: Document) -> Status:
        try:
            return document.wait(on_status=self._on_status, on_away=self._on_away)
        except DocumentFailed as failed:
            return failed.status

    def _on_bytes(self, there: int, size: int) -> None:
        self._doing = f"uploading {megabytes(there)} of {megabytes(size)}"
        self._show(self._doing, SENDING)

    def _on_status(self, status: Status) -> None:
        self._doing, self._percent = sentence_of(status), status["progress"]["percent"]
        self._show(self._doing, self._percent)

    def _on_away(self, reason: str) -> None:
        self._show(f"the server is away, trying again: {reason}", self._percent)


def _unsendable(path: Path) -> str | None:
    if path.is_dir():
        return "It is a folder; --recursive takes the files below it."
    if not path.exists():
        return "There is no such file."
    if path.stat().st_size == 0:
        return "It is empty."
    return None


def _how_far(error: Unreachable) -> str:
    if not error.uploaded:
        return str(error)
    return f"{error} {megabytes(error.uploaded)} are there; the same command goes on from there."


@contextmanager
def _display(*, as_json: bool) -> Iterator[Display]:
    """Bars in a terminal, lines in a pipe, nothing for scripts."""
    if as_json:
        yield Silent()
    elif sys.stdout.isatty():
        columns = (
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>5.1f} %"),
            TextColumn("{task.fields[sentence]}"),
        )
        with Progress(*columns) as progress:
            yield Bars(progress)
    else:
        yield Lines()


class Silent:
    """Shows nothing."""

    def show(self, path: Path, sentence: str, percent: float) -> None:
        """Nothing."""


class Lines:
    """Shows each change of what is being done as a line; counts alone are no change."""

    def __init__(self) -> None:
        self._last: dict[Path, str] = {}

    def show(self, path: Path, sentence: str, percent: float) -> None:
        """A line, if something else is being done than before."""
        doing = sentence.split(" ", 1)[0]
        if self._last.get(path) != doing:
            self._last[path] = doing
            click.echo(f"{path}: {sentence} ({percent:g} %)")


class Bars:
    """Shows a bar per file: what is committed, and in words what is being done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[Path, TaskID] = {}

    def show(self, path: Path, sentence: str, percent: float) -> None:
        """Move the file's bar."""
        if path not in self._tasks:
            self._tasks[path] = self._progress.add_task(path.name, total=ALL, sentence="")
        self._progress.update(self._tasks[path], completed=percent, sentence=sentence)


def _report(sent: list[Sent], *, as_json: bool) -> None:
    for one in sent:
        if as_json:
            click.echo(json.dumps(one.as_json()))
        elif one.error:
            click.echo(f"{one.path}: {one.error}", err=True)
        elif one.status:
            end = sentence_of(one.status)
            click.echo(f"{one.status['document_id']}  {end}  {one.path}")
