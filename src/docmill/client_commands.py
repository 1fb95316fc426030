"""What a user does from a shell: look, search, retry, cancel; all of it by the API."""

import json
from collections.abc import Callable

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from docmill.client import Document, Hit, Status
from docmill.client_options import client_of, common
from docmill.client_words import sentence_of

SHOWN_OF_PASSAGE = 400


# looking ---------------------------------------------------------------------------------


@click.command()
@click.argument("document_id", metavar="ID")
@common
def status(*, document_id: str, url: str, as_json: bool) -> None:
    """Show how the document ID stands."""
    with client_of(url) as client:
        shown = client.document(document_id).status()
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
        documents = client.documents(limit=limit, status=in_status, collection=collection)
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
        hits = client.search(query, limit=limit, mode=mode, collection=collection)
    if as_json:
        for hit in hits:
            click.echo(json.dumps(hit))
    elif not hits:
        click.echo("Nothing found. Documents are found once they are completed: docmill list")
    else:
        console = Console(highlight=False)
        for rank, hit in enumerate(hits, start=1):
            console.print(*_hit(rank, hit, query), sep="\n", end="\n\n")


def _hit(rank: int, hit: Hit, query: str) -> tuple[Text, Text]:
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


def _asking(what: str, about: str, ask_of: Callable[[Document], Status]) -> click.Command:
    """A command that asks one thing of a document and shows how it stands then."""

    @click.command(what, help=about)
    @click.argument("document_id", metavar="ID")
    @common
    def ask(*, document_id: str, url: str, as_json: bool) -> None:
        with client_of(url) as client:
            shown = ask_of(client.document(document_id))
        click.echo(json.dumps(shown) if as_json else f"{document_id}  {sentence_of(shown)}")

    return ask


retry = _asking(
    "retry",
    "Let the failed or cancelled document ID go on where it stopped.",
    lambda document: document.retry(),
)
cancel = _asking("cancel", "Stop the work on the document ID.", lambda document: document.cancel())
reprocess = _asking(
    "reprocess",
    "Read the document ID anew; the old result serves until then.",
    lambda document: document.reprocess(),
)


@click.command()
@click.argument("document_id", metavar="ID")
@common
def delete(*, document_id: str, url: str, as_json: bool) -> None:
    """Remove the document ID, whatever its state, with everything that hangs on it."""
    with client_of(url) as client:
        client.document(document_id).delete()
    gone = {"document_id": document_id, "deleted": True}
    click.echo(json.dumps(gone) if as_json else f"{document_id}  deleted")
