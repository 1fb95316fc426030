"""What docmill talks about: pages, chunks and the jobs that make them. Facts only, no behaviour."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a document as parsing found it.

    A file without pages is one page, or several of at most 100,000 characters where it is longer.

    `number` counts from 1. `text` has line feeds as line ends and may be empty (a scan).
    """

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a user should know about a document that was read all the same.

    `code` is one of `errors.WARNINGS`; `detail` is a sentence; `page` counts from 1.
    """

    code: str
    detail: str
    page: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The shape that `warnings` has in the status."""
        shape: dict[str, Any] = {"code": self.code, "detail": self.detail}
        return shape if self.page is None else {**shape, "page": self.page}


@dataclass(frozen=True, slots=True)
class Opened:
    """What parsing knows before the first page.

    `pages` is how many pages the document has, or None where only reading to the end tells.
    `ranged` says whether a page range can be read by itself (PDF) or only the whole (the rest).
    """

    media_type: str
    pages: int | None
    ranged: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage that is embedded and found.

    `char_start` and `char_end` count characters in the document's text, which is the text of its
    pages joined by two line feeds: `document_text[char_start:char_end] == text`.
    `headings` is the path of headings above the passage, outermost first.
    """

    ordinal: int
    text: str
    page_first: int
    page_last: int
    char_start: int
    char_end: int
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed row of `processing_jobs`: the right to do one piece of work while the lease lasts.

    `token` and `attempt` name the claim; every write that ends the work must carry both.
    `span` is what the part covers (`{"first": 1, "last": 100}`: page numbers of a parse job, chunk
    ordinals of an embed job), None for a whole document or where it is not known yet.
    `done` units were committed by earlier attempts and are not done again; `checkpoint` is what an
    earlier attempt left for going on from there. `traceparent` is the trace of the upload. `weight`
    is how much of a slot it fills, of the jobs that are a group: one that weighs as much as a whole
    group goes alone, the others share their commits.
    """

    id: int
    owner_id: UUID
    document_id: UUID
    generation: int
    stage: str
    part: int
    priority: int
    span: dict[str, int] | None
    attempt: int
    released: int
    max_attempts: int
    token: UUID
    done: int
    total: int | None
    checkpoint: dict[str, Any] | None
    filename: str
    file_id: UUID
    file_size: int
    seconds_waited: float
    traceparent: str | None = None
    weight: int = 1
