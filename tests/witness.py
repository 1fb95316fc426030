"""What the database says happened: outputs to compare, attempts to count."""

import hashlib
from dataclasses import dataclass
from typing import Any

from docmill.database import Sync
from made_files import pdf


@dataclass(frozen=True, slots=True)
class Outputs:
    """Everything the stages kept of a document, comparable between documents."""

    pages: list[tuple[Any, ...]]
    chunks: list[tuple[Any, ...]]
    embeddings: list[tuple[Any, ...]]


def outputs(admin: Sync, document_id: str) -> Outputs:
    def rows(statement: str) -> list[tuple[Any, ...]]:
        found = admin.execute(statement.encode(), [document_id]).fetchall()
        return [tuple(row.values()) for row in found]

    return Outputs(
        rows("select number, md5(text) from pages where document_id = %s order by 1"),
        rows(
            "select ordinal, md5(text), page_first, page_last, char_start, char_end"
            " from chunks where document_id = %s order by 1"
        ),
        rows(
            "select ordinal, md5(embedding::text) from embeddings where document_id = %s order by 1"
        ),
    )


def running(admin: Sync, stage: str) -> bool:
    """Whether some worker is in the middle of this stage: past its first commit, not at its last.

    More than one commit's worth is left, so that one that is on its way does not end the job.
    """
    row = admin.execute(
        "select 1 from processing_jobs where status = 'running' and stage = %s"
        " and (done > 0 or total is not null or stage = 'chunk')"
        " and (total is null or total - done > case stage when 'embed' then 128 else 50 end)",
        [stage],
    ).fetchone()
    return row is not None


def outcomes(admin: Sync, stage: str) -> list[str]:
    rows = admin.execute(
        "select outcome from job_attempts a join processing_jobs j on j.id = a.job_id"
        " where j.stage = %s order by a.job_id, a.attempt",
        [stage],
    ).fetchall()
    return [row["outcome"] for row in rows]


def long_pdf(pages: int = 800) -> bytes:
    return pdf(*(f"Page {n}. " + f"words of page {n} " * 20 for n in range(pages)))


def wide_pdf() -> bytes:
    """800 pages of 6 KB.

    Half a range is more than the pipe from the parser holds: a parser whose worker stands still
    before the middle of a range can't have sent everything.
    """
    return pdf(*(f"Page {n}. " + "words " * 1000 for n in range(800)))


def long_text() -> bytes:
    """Some 5 MB of text: cutting it takes long enough to be killed in the middle."""
    line = "".join(hashlib.sha256(str(n).encode()).hexdigest()[:7] + " " for n in range(100))
    return "\n\n".join(f"{n} {line}" for n in range(6_000)).encode()
