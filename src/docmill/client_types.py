"""The shapes that the API answers with, for type checkers; at run time they are plain dicts."""

from typing import Any, Literal

# Python's own has not what pydantic needs before 3.12.
from typing_extensions import TypedDict


class Count(TypedDict):
    """Committed units of a stage; `total` is None until it is known."""

    done: int
    total: int | None
    unit: Literal["page", "chunk"]


class Progress(TypedDict):
    """How much of the work is committed."""

    percent: float
    parse: Count
    chunk: Count
    embed: Count


class Status(TypedDict):
    """How a document stands."""

    document_id: str
    filename: str
    size: int
    media_type: str | None
    collection: str | None
    status: Literal["queued", "processing", "completed", "failed", "cancelled"]
    stage: Literal["parse", "chunk", "embed"] | None
    done: bool
    version: int
    generation: int
    searchable: bool
    progress: Progress
    queue_position: int | None
    eta_seconds: float | None
    attempt: int
    max_attempts: int
    next_attempt_at: str | None
    error: dict[str, Any] | None
    warnings: list[dict[str, Any]]
    created_at: str
    started_at: str | None
    stages: dict[str, dict[str, str | None]]
    completed_at: str | None


class Hit(TypedDict):
    """A passage that was found."""

    document_id: str
    filename: str
    metadata: dict[str, Any]
    chunk_id: str
    text: str
    page_first: int
    page_last: int
    char_start: int
    char_end: int
    headings: list[str]
    score: float
    scores: dict[str, float | None]
