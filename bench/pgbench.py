"""The queue's limit: docmill's own statements, sent by pgbench instead of a worker.

The script claims ten documents and takes each through its three jobs, with the transactions of
docmill's stages. pgbench has no loops, so it is written out; it sends literals, as docmill does not
prepare statements either.
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
from docmill.database import addresses
from docmill.lexical import tsvector

CLAIMED = 10
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
# Times as many scripts as there would be work for if every claim was full.
ENOUGH = 3
FINAL_SELECT = "\nselect t.*, d.filename"
ALL_WENT_THROUGH = "number of failed transactions: 0 "
NO_ID, NO_TOKEN = 0, UUID(int=0)


class Variable(str):
    """One of pgbench's own variables, which is put in as it stands."""

    __slots__ = ()


def filled(statement: bytes, **values: Any) -> str:
    """A statement with its values as literals, without its comments, on one line."""
    lines = (line.partition("--")[0] for line in statement.decode().splitlines())

    def literal(match: re.Match[str]) -> str:
        value = values[match[1]]
        return f"':{value}'" if isinstance(value, Variable) else sql.Literal(value).as_string()

    return " ".join(PLACEHOLDER.sub(literal, "\n".join(lines)).rstrip("; \n").split())


def script() -> str:
    """What one client does once: a claim, and ten documents to their ends."""
    return "\n".join([*claim(), *(line for nth in range(CLAIMED) for line in document(nth))]) + "\n"


def claim() -> list[str]:
    """The claim, whose rows become variables."""
    text = job_queue.STATEMENTS.claim_jobs.decode()
    before, select, rest = text.partition(FINAL_SELECT)
    assert select, "the claim ends otherwise now"
    columns = [
        f"coalesce(max({column}::text) filter (where nth = {nth}), '{none}') as {name}{nth}"
        for nth in range(CLAIMED)
        for column, name, none in (
            ("id", "job", NO_ID),
            ("lease_token", "token", NO_TOKEN),
            ("document_id", "document", NO_TOKEN),
            ("owner_id", "owner", NO_TOKEN),
        )
    ]
    wrapped = (
        f"{before}, claimed as ({select.strip()}{rest.rstrip('; ')})"
        f" select {', '.join(columns)} from (select id, lease_token, document_id, owner_id,"
        " row_number() over () - 1 as nth from claimed) c"
    )
    worker = {"lease": 60.0, "worker": "pgbench", "service": "", "after": UUID(int=0)}
    return [
        "begin;",
        filled(job_queue.STATEMENTS.keep_to_limits) + ";",
        filled(wrapped.encode(), slots=CLAIMED, **worker) + " \\gset",
        "commit;",
    ]


def document(nth: int) -> list[str]:
    """The three jobs of the nth claimed document, a transaction each."""
    job = {"id": Variable(f"job{nth}"), "token": Variable(f"token{nth}"), "attempt": 1}
    which = {"document_id": Variable(f"document{nth}"), "generation": 1}
    owned = {**which, "owner_id": Variable(f"owner{nth}")}
    page = {"numbers": [1], "texts": ["A page."]}
    passage = {
        "ordinals": [0],
        "texts": ["A page."],
        "page_firsts": [1],
        "page_lasts": [1],
        "char_starts": [0],
        "char_ends": [7],
        "headings": [Jsonb([])],
        "words": [tsvector("A page.")],
    }
    return [
        f"\\if :job{nth}",  # other clients may have left it less than ten
        *ended(job),
        filled(documents.STATEMENTS.keep_pages, **owned, **page) + ";",
        advanced(which, pages=1, pages_total=1, media_type="text/plain"),
        advanced(which, stage="chunk"),
        *followed(owned, nth, "chunk", None, None),
        *ended({**job, "id": Variable(f"chunk{nth}"), "token": Variable(f"chunk_token{nth}")}),
        filled(documents.STATEMENTS.keep_chunks, **owned, **passage) + ";",
        advanced(which, chunks=1, chunks_total=1, stage="embed"),
        *followed(owned, nth, "embed", Jsonb({"first": 0, "last": 0}), 1),
        *ended({**job, "id": Variable(f"embed{nth}"), "token": Variable(f"embed_token{nth}")}),
        advanced(which, embedded=1),
        filled(job_queue.STATEMENTS.count_unfinished_parts, **which, stage="embed") + ";",
        filled(documents.STATEMENTS.complete_document, **which) + ";",
        filled(events.STATEMENTS.announce_end, **which) + ";",
        "commit;",
        "\\endif",
    ]


def ended(job: dict[str, Any]) -> list[str]:
    """The fence, which opens the transaction."""
    return [
        "begin;",
        filled(job_queue.STATEMENTS.finish_job, **job, done=1) + ";",
        filled(job_queue.STATEMENTS.end_attempt, **job, outcome="succeeded", error=None) + ";",
    ]


def advanced(which: dict[str, Any], **counts: Any) -> str:
    """The document's counts."""
    none = {"pages_total": None, "chunks_total": None, "stage": None, "media_type": None}
    zero = {"pages": 0, "chunks": 0, "embedded": 0, "warnings": Jsonb([])}
    return (
        filled(documents.STATEMENTS.advance_document, **{**none, **zero, **which, **counts}) + ";"
    )


def followed(
    owned: dict[str, Any], nth: int, stage: str, span: Jsonb | None, total: int | None
) -> list[str]:
    """The next job, taken at once; its id and token become variables."""
    added = filled(
        job_queue.STATEMENTS.enqueue_taken_job,
        **owned,
        stage=stage,
        span=span,
        total=total,
        priority=job_queue.PRIORITY[stage],
        max_attempts=5,
        lease=60.0,
        worker="pgbench",
    )
    head, _, _ = added.rpartition("select * from added")
    names = f"{stage}{nth}", f"{stage}_token{nth}"
    columns = (
        f"coalesce(max(id), 0) as {names[0]},"
        f" coalesce(max(lease_token::text), '{NO_TOKEN}') as {names[1]}"
    )
    return [f"{head}select {columns} from added \\gset", "commit;"]


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
        f"--transactions={1 + ENOUGH * documents_waiting // (CLAIMED * clients)}",
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
