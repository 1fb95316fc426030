"""The queue's limit: docmill's own statements, sent by pgbench instead of a worker.

The script claims a group of documents and takes it through its three jobs, with the transactions of
docmill's stages. It sends literals, as docmill does not prepare statements either.
"""

import re
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from docmill import documents, embedded_postgres, events, job_queue
from docmill.carrying import GROUP
from docmill.database import addresses

PLACEHOLDER = re.compile(r"%\((\w+)\)[sb]")
# Times as many scripts as there would be work for if every claim was full.
ENOUGH = 6
FINAL_SELECT = "\nselect t.id, t.owner_id"
ALL_WENT_THROUGH = "number of failed transactions: 0 "
# What a claim, and each stage that follows, leaves in pgbench's variables.
HELD = ", ".join(
    f"coalesce(array_agg({column}), '{{}}') as {name}"
    for column, name in (
        ("id", "ids"),
        ("lease_token", "tokens"),
        ("document_id", "documents"),
        ("owner_id", "owners"),
    )
)
WHICH = "':documents'::uuid[]"


class Expression(str):
    """SQL that is put in as it stands."""

    __slots__ = ()


def filled(statement: bytes, **values: Any) -> str:
    """A statement with its values as literals, without its comments, on one line."""
    lines = (line.partition("--")[0] for line in statement.decode().splitlines())

    def literal(match: re.Match[str]) -> str:
        value = values[match[1]]
        return value if isinstance(value, Expression) else sql.Literal(value).as_string()

    return " ".join(PLACEHOLDER.sub(literal, "\n".join(lines)).rstrip("; \n").split())


def each(value: Any) -> Expression:
    """The same value for each job of the group."""
    kind = "::text" if isinstance(value, str) else ""
    return Expression(f"array_fill({sql.Literal(value).as_string()}{kind}, array[:n])")


def following(**more: Any) -> Expression:
    """The jobs that follow, as docmill hands them over."""
    facts = {"generation": 1, "part": 0, "priority": -1, "max_attempts": 5, **more}
    known = sql.Literal(Jsonb(facts)).as_string()
    named = "jsonb_build_object('owner_id', owner, 'document_id', document)"
    return Expression(
        f"(select jsonb_agg({named} || {known})"
        f" from unnest(':owners'::uuid[], {WHICH}) as f (owner, document))"
    )


OWNED = {
    "owner_ids": Expression("':owners'"),
    "document_ids": Expression("':documents'"),
    "generations": each(1),
}


def script() -> str:
    """What one client does once: a claim, and a group of documents to their ends."""
    page = {"numbers": each(1), "texts": each("A page.")}
    passage = {
        "ordinals": each(0),
        "texts": each("A page."),
        "page_firsts": each(1),
        "page_lasts": each(1),
        "char_starts": each(0),
        "char_ends": each(7),
        "headings": each(Jsonb([])),
        "words": each("'a':1 'page':2"),
    }
    lines = [
        *claim(),
        "\\if :n > 0",
        *ended(),
        filled(documents.STATEMENTS.keep_pages, **OWNED, **page),
        advanced(pages=each(1), pages_totals=each(1), stages=each("chunk")),
        *followed("chunk", following()),
        *ended(),
        filled(documents.STATEMENTS.keep_chunks, **OWNED, **passage),
        advanced(chunks=each(1), chunks_totals=each(1), stages=each("embed")),
        *followed("embed", following(total=1, span={"first": 0, "last": 0})),
        *ended(),
        advanced(embedded=each(1)),
        filled(job_queue.STATEMENTS.list_unfinished, **OWNED, stage="embed"),
        filled(documents.STATEMENTS.complete_documents, **OWNED),
        filled(events.STATEMENTS.announce_ends, **OWNED),
        "commit",
        "\\endif",
    ]
    return "".join(f"{line}\n" if "\\" in line else f"{line};\n" for line in lines)


def claim() -> list[str]:
    """The claim of a slot, whose rows become variables."""
    text = job_queue.STATEMENTS.claim_jobs.decode()
    before, select, rest = text.partition(FINAL_SELECT)
    assert select, "the claim ends otherwise now"
    wrapped = (
        f"{before}, claimed as ({select.strip()}{rest.rstrip('; ')})"
        f" select count(*) as n, {HELD} from claimed"
    )
    told = {"lease": 60.0, "worker": "pgbench", "service": "", "after": UUID(int=0)}
    amount = {"slots": 1, "group": GROUP, "weighed_bytes": job_queue.WEIGHED_BYTES}
    return [
        "begin",
        filled(job_queue.STATEMENTS.keep_to_limits),
        filled(wrapped.encode(), **amount, **told) + " \\gset",
        "commit",
    ]


def ended() -> list[str]:
    """The fence, which opens the transaction."""
    held = {"ids": Expression("':ids'"), "tokens": Expression("':tokens'")}
    finish = job_queue.STATEMENTS.finish_jobs
    return ["begin", filled(finish, **held, attempts=each(1), done=each(1))]


def advanced(**counts: Expression) -> str:
    """The documents' counts."""
    nothing = Expression("array_fill(null::text, array[:n])")
    totals = dict.fromkeys(("pages_totals", "chunks_totals", "stages", "media_types"), nothing)
    counted = dict.fromkeys(("pages", "chunks", "embedded"), each(0))
    values = {**totals, **counted, **OWNED, "warnings": each(Jsonb([])), **counts}
    return filled(documents.STATEMENTS.advance_documents, **values)


def followed(stage: str, jobs: Expression) -> list[str]:
    """The next jobs, taken at once; their ids and tokens become variables."""
    told = {"stage": stage, "lease": 60.0, "worker": "pgbench", "jobs": jobs}
    added = filled(job_queue.STATEMENTS.enqueue_taken_jobs, **told)
    head, select, _ = added.rpartition("select id, owner_id, document_id")
    assert select, "the statement ends otherwise now"
    return [f"{head}select {HELD} from added \\gset", "commit"]


def run(url: str, folder: Path, documents_waiting: int, clients: int) -> None:
    """Bring all waiting documents to their ends by so many clients."""
    path = folder / "queue.pgbench"
    path.write_text(script(), encoding="utf-8")
    where = conninfo_to_dict(addresses(url).worker)
    command = [
        str(embedded_postgres.binary("pgbench")),
        "--no-vacuum",
        f"--file={path}",
        f"--client={clients}",
        f"--jobs={min(2, clients)}",
        f"--transactions={1 + ENOUGH * documents_waiting // (GROUP * clients)}",
    ]
    environment = {
        "PGHOST": str(where["host"]),
        "PGPORT": str(where["port"]),
        "PGDATABASE": str(where["dbname"]),
        "PGUSER": str(where["user"]),
        "PGPASSWORD": str(where["password"]),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or ALL_WENT_THROUGH not in done.stdout:
        raise RuntimeError(f"pgbench: {done.stdout}\n{done.stderr[:2000]}")
