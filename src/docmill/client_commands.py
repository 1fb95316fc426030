"""What a user does from a shell: upload, watch, search, retry, cancel; all of it by the API."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from docmill.http_client import Client, Refused, Status, Unreachable

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
AT_ONCE = 3
SHOWN_OF_PASSAGE = 400
SENDING, ALL = 0.0, 100.0

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
def client_of(url: str) -> Iterator[Client]:
    """A client for the length of a block; what goes wrong ends the program with a sentence."""
    client = Client(url)
    try:
        yield client
    except Refused as error:
        click.echo(f"docmill: {error} ({error.code})", err=True)
        sys.exit(EXIT_FAILED)
    except Unreachable as error:
        click.echo(f"docmill: {error}", err=True)
        sys.exit(EXIT_UNAVAILABLE)
    finally:
        client.close()


# upload ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """How one file ended: its last status, or why it has none."""

    path: Path
    status: Status | None = None
    error: str | None = None
    code: str | None = None
    unreachable: bool = False

    @property
    def exit_status(self) -> int:
        """What this file makes of the program's exit status."""
        if self.unreachable:
            return EXIT_UNAVAILABLE
        bad = self.error is not None or (self.status or {}).get("status") in {"failed", "cancelled"}
        return EXIT_FAILED if bad else 0

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        shown: dict[str, Any] = {"file": str(self.path)}
        if self.status:
            shown |= self.status
        if self.error:
            shown |= {"error": {"code": self.code, "detail": self.error}}
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
    "--priority",
    type=click.Choice(["high", "normal", "low"]),
    help="What of yours is worked on first.  [default: normal]",
)
@click.option("--recursive", "-r", is_flag=True, help="Take the files below folders, too.")
@common
def upload(
    *,
    files: tuple[Path, ...],
    wait: bool,
    collection: str | None,
    priority: str | None,
    recursive: bool,
    url: str,
    as_json: bool,
) -> None:
    """Upload FILES. Once a file is accepted, the work on it goes on whatever happens here.

    \b
    docmill upload report.pdf minutes.docx --wait
    """  # noqa: D301 - click's mark for a block that is not wrapped
    given = {"collection": collection, "priority": priority}
    fields = {name: value for name, value in given.items() if value is not None}
    with (
        client_of(url) as client,
        _display(as_json=as_json) as display,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        jobs = [
            pool.submit(_send, client, path, display, fields, wait=wait)
            for path in _each_file(files, recursive=recursive)
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
            "\nWhat was accepted goes on in the background. Look again by `docmill list`.",
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


def _send(
    client: Client, path: Path, display: Display, fields: dict[str, str], *, wait: bool
) -> Sent:
    if (reason := _unsendable(path)) is not None:
        return Sent(path, error=reason, code="FILE_UNREADABLE")
    size = path.stat().st_size

    def on_bytes(sent: int) -> None:
        display.show(path, f"uploading {_megabytes(sent)} of {_megabytes(size)}", SENDING)

    try:
        status = client.upload(path, fields, on_bytes)
        display.show(path, "accepted; the rest happens in the background", SENDING)
        if wait:
            status = _watch(client, status["document_id"], path, display)
    except Refused as error:
        return Sent(path, error=str(error), code=error.code)
    except Unreachable as error:
        return Sent(path, error=str(error), code="UNREACHABLE", unreachable=True)
    except OSError as error:
        return Sent(path, error=f"It can't be read: {error.strerror}.", code="FILE_UNREADABLE")
    return Sent(path, status)


def _unsendable(path: Path) -> str | None:
    if path.is_dir():
        return "It is a folder; --recursive takes the files below it."
    if not path.exists():
        return "There is no such file."
    if path.stat().st_size == 0:
        return "It is empty."
    return None


def _watch(client: Client, document_id: str, path: Path, display: Display) -> Status:
    status: Status = {}

    def on_away(reason: str) -> None:
        display.show(path, f"the server is away, asking again: {reason}", _percent(status))

    for status in client.watch(document_id, on_away):
        display.show(path, sentence_of(status), _percent(status))
    return status


def _percent(status: Status) -> float:
    return float(status["progress"]["percent"]) if status else SENDING


def sentence_of(status: Status) -> str:
    """How a document stands, in words."""
    match status:
        case {"status": "queued", "queue_position": position}:
            return f"waiting, number {position} in line"
        case {"status": "completed"}:
            return "searchable"
        case {"status": "failed", "error": error}:
            return f"failed: {error['detail']}"
        case {"status": "cancelled"}:
            return "cancelled"
        case {"next_attempt_at": str() as at, "error": dict() as error}:
            return f"{error['title']}; next try at {at[11:19]} UTC"
    return _working(status["stage"], status["progress"])


def _working(stage: str, progress: dict[str, Any]) -> str:
    count = progress[stage]
    of = f"{count['done']} of {count['total']}" if count["total"] else f"{count['done']}"
    return {
        "parse": f"reading pages {of}",
        "chunk": "splitting into passages",
        "embed": f"embedding {of}",
    }[stage]


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
            status = one.status
            end = sentence_of(status) if "progress" in status else status["status"]
            click.echo(f"{status['document_id']}  {end}  {one.path}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


# looking ---------------------------------------------------------------------------------


@click.command()
@click.argument("document_id", metavar="ID")
@common
def status(*, document_id: str, url: str, as_json: bool) -> None:
    """Show how the document ID stands."""
    with client_of(url) as client:
        shown = client.status(document_id)
    if as_json:
        click.echo(json.dumps(shown))
        return
    console = Console(highlight=False)
    console.print(Text(shown["filename"], style="bold"), Text(shown["document_id"], style="dim"))
    console.print(f"{shown['status']}, {shown['progress']['percent']:g} %: ", end="")
    console.print(Text(sentence_of(shown)))
    console.print(_stage_table(shown))
    for warning in shown["warnings"]:
        page = f"page {warning['page']}: " if "page" in warning else ""
        console.print(Text(f"warning: {page}{warning['detail']}", style="yellow"))
    if shown["error"]:
        error = shown["error"]
        console.print(Text(f"{error['title']} ({error['code']})", style="red"))
        console.print(f"stage {error['stage']}, try {error['attempt']} of {shown['max_attempts']}")


def _stage_table(shown: Status) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "done", "of", "started", "completed"):
        table.add_column(heading, justify="right" if heading in {"done", "of"} else "left")
    for stage in ("parse", "chunk", "embed"):
        count = shown["progress"][stage]
        times = shown["stages"].get(stage, {})
        total = "?" if count["total"] is None else str(count["total"])
        table.add_row(
            stage,
            str(count["done"]),
            f"{total} {count['unit']}s",
            _clock(times.get("started_at")),
            _clock(times.get("completed_at")),
        )
    return table


def _clock(time: str | None) -> str:
    return time[:19].replace("T", " ") if time else ""


@click.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--status", "in_status", help="Only documents in this state.")
@click.option("--collection", help="Only documents of this collection.")
@common
def list_documents(
    *, limit: int, in_status: str | None, collection: str | None, url: str, as_json: bool
) -> None:
    """List documents, newest first."""
    with client_of(url) as client:
        documents = client.list_documents(limit, in_status, collection)["documents"]
    if as_json:
        for document in documents:
            click.echo(json.dumps(document))
    elif not documents:
        click.echo("No documents yet. Upload one: docmill upload report.pdf --wait")
    else:
        for document in documents:
            percent = f"{document['progress']['percent']:5.1f} %"
            click.echo(
                f"{document['document_id']}  {document['status']:10} {percent}"
                f"  {document['filename']}"
            )


@click.command()
@click.argument("query")
@click.option("--limit", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "vector", "text"]),
    default="hybrid",
    show_default=True,
    help="By meaning and words, by meaning alone, by words alone.",
)
@click.option("--collection", help="Only documents of this collection.")
@common
def search(
    *, query: str, limit: int, mode: str, collection: str | None, url: str, as_json: bool
) -> None:
    """Find the passages that answer QUERY best.

    \b
    docmill search "who pays for the roof"
    """  # noqa: D301 - click's mark for a block that is not wrapped
    with client_of(url) as client:
        hits = client.search(query, limit, mode, collection)["hits"]
    if as_json:
        for hit in hits:
            click.echo(json.dumps(hit))
    elif not hits:
        click.echo("Nothing found. Documents are found once they are completed: docmill list")
    else:
        console = Console(highlight=False)
        for rank, hit in enumerate(hits, start=1):
            console.print(*_hit(rank, hit, query), sep="\n", end="\n\n")


def _hit(rank: int, hit: dict[str, Any], query: str) -> tuple[Text, Text]:
    first, last = hit["page_first"], hit["page_last"]
    pages = f"page {first}" if first == last else f"pages {first} to {last}"
    head = Text(f"{rank}. ").append(hit["filename"], style="bold")
    head.append(f"  {pages}  score {hit['score']:.4f}", style="dim")
    passage = " ".join(hit["text"].split())
    if len(passage) > SHOWN_OF_PASSAGE:
        passage = passage[:SHOWN_OF_PASSAGE] + "…"
    text = Text(passage)
    text.highlight_words(query.split(), style="bold yellow", case_sensitive=False)
    return head, text


# asking ----------------------------------------------------------------------------------


def _asking(what: str, about: str) -> click.Command:
    """A command that asks one thing of a document and shows how it stands then."""

    @click.command(what, help=about)
    @click.argument("document_id", metavar="ID")
    @common
    def ask(*, document_id: str, url: str, as_json: bool) -> None:
        with client_of(url) as client:
            shown = client.ask(document_id, what)
        click.echo(json.dumps(shown) if as_json else f"{document_id}  {sentence_of(shown)}")

    return ask


@click.command()
@click.argument("document_id", metavar="ID")
@common
def delete(*, document_id: str, url: str, as_json: bool) -> None:
    """Remove the document ID, whatever its state, with everything that hangs on it."""
    with client_of(url) as client:
        client.delete(document_id)
    gone = {"document_id": document_id, "deleted": True}
    click.echo(json.dumps(gone) if as_json else f"{document_id}  deleted")


COMMANDS: tuple[click.Command, ...] = (
    upload,
    list_documents,
    status,
    search,
    _asking("retry", "Let the failed or cancelled document ID go on where it stopped."),
    _asking("cancel", "Stop the work on the document ID."),
    _asking("reprocess", "Read the document ID anew; the old result serves until then."),
    delete,
)
