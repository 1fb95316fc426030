"""The shapes of answers, for the description of the API. At run time answers are plain dicts.

Members may be added; none is dropped, renamed or given another type.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from docmill.accepting import Outcome
from docmill.client_types import Hit, Status
from docmill.events import Event

Stage = Literal["parse", "chunk", "embed"]
Time = str | None
Error = dict[str, Any] | None


class Accepted(TypedDict):
    """A file that is a document now."""

    document_id: str
    outcome: Outcome
    filename: str
    sha256: str
    status: str
    status_url: str
    queue_position: int | None
    done: bool
    links: dict[str, str]


class Document(Status):
    """A document's status, and what was said about it at its upload."""

    external_id: str | None
    metadata: dict[str, Any]
    priority: Literal["high", "normal", "low"]
    sha256: str
    links: dict[str, str]


class Summary(TypedDict):
    """A list as a whole."""

    counts: dict[str, int]
    live_workers: int
    paused: list[Stage]


class DocumentList(TypedDict):
    """A page of documents; an empty token stands for the end."""

    documents: list[Status]
    next_page_token: str
    summary: NotRequired[Summary]


class Collection(TypedDict):
    """A collection with the number of its documents."""

    name: str
    documents: int


class CollectionList(TypedDict):
    """A page of collections."""

    collections: list[Collection]
    next_page_token: str


class Attempt(TypedDict):
    """One try of a job."""

    attempt: int
    worker: str
    started_at: str
    ended_at: Time
    outcome: Literal["succeeded", "failed", "lease_expired", "released", "cancelled"] | None
    error: Error


class Job(TypedDict):
    """One job with every try."""

    id: int
    generation: int
    stage: Stage
    part: int
    span: Any
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    done: int
    total: int | None
    priority: int
    attempt: int
    released: int
    max_attempts: int
    run_at: str
    lease_until: Time
    worker: str | None
    error: Error
    created_at: str
    started_at: Time
    finished_at: Time
    attempts: list[Attempt]


class JobList(TypedDict):
    """The audit trail of a document."""

    jobs: list[Job]


class Page(TypedDict):
    """A page with its place in the document's text."""

    number: int
    text: str
    char_start: int
    char_end: int


class PageList(TypedDict):
    """Some pages of a document."""

    pages: list[Page]
    next_page_token: str


class Place(TypedDict):
    """Where a passage lies."""

    chunk_id: str
    ordinal: int
    page_first: int
    page_last: int
    char_start: int
    char_end: int
    headings: list[str]


class Chunk(Place):
    """A passage with its text."""

    text: str


class ChunkList(TypedDict):
    """Some passages of a document."""

    chunks: list[Chunk]
    next_page_token: str


class Leaf(TypedDict):
    """A piece of a document's text with the passages in it."""

    generation: int
    page: int | None
    pages: int
    characters: int
    char_start: int
    char_end: int
    text: str
    previous_at: int | None
    next_at: int | None
    chunks: list[Place]


class Found(Hit):
    """A hit, and where the query's words stand in it."""

    matches: list[tuple[int, int]]


class Hits(TypedDict):
    """What was found, best first."""

    hits: list[Found]


class Session(TypedDict):
    """Who asks, and how one may show who one is."""

    authenticated: bool
    name: str | None
    owner: str | None
    scopes: list[str]
    ways: list[str]


class Alive(TypedDict):
    """The process answers."""

    status: Literal["alive"]


class Check(TypedDict):
    """One thing that has to be as it should."""

    ok: bool
    detail: str
    live: NotRequired[int]


class Ready(TypedDict):
    """Whether work can be taken; `missing` has a sentence for each check that is not `ok`."""

    ready: bool
    missing: list[str]
    checks: dict[str, Check]


class Allowed(TypedDict):
    """What may be uploaded."""

    max_upload_bytes: int
    types: list[str]


# webhooks --------------------------------------------------------------------------------


class Disabled(TypedDict):
    """Why nothing is sent to a webhook, since when, and what to do."""

    reason: Literal["asked", "gone", "failing"]
    detail: str
    at: str


class Webhook(TypedDict):
    """Where an owner is told of documents that have ended."""

    id: str
    url: str
    description: str
    events: list[Event]
    enabled: bool
    disabled: Disabled | None
    failing_since: Time
    former_secrets_end_at: list[str]
    created_at: str


class WebhookWithSecret(Webhook):
    """As the answer shows it that is the only one to show its secret."""

    secret: str


class WebhookList(TypedDict):
    """All webhooks of an owner."""

    webhooks: list[Webhook]
    next_page_token: str


class DeliveryAttempt(TypedDict):
    """One try of a delivery."""

    attempt: int
    started_at: str
    ended_at: Time
    status_code: int | None
    error: str | None


class Delivery(TypedDict):
    """Something that was or will be told to a webhook."""

    id: str
    event: str
    document_id: str | None
    status: Literal["waiting", "sending", "delivered", "failed"]
    status_code: int | None
    error: str | None
    next_attempt_at: Time
    created_at: str
    finished_at: Time
    attempts: list[DeliveryAttempt]


class DeliveryList(TypedDict):
    """A page of a webhook's log."""

    deliveries: list[Delivery]
    next_page_token: str


# operators -------------------------------------------------------------------------------


class StageLoad(TypedDict):
    """A stage over all owners."""

    stage: Stage
    due: int
    later: int
    running: int
    oldest_at: Time
    max_running: int | None
    paused: bool


class WorkerLoad(TypedDict):
    """A worker and what it holds."""

    id: str
    started_at: str
    seen_at: str
    state: Literal["live", "late", "gone"]
    idle: bool
    draining: bool
    slots: int
    holds: list[dict[str, Any]]


class FailureCount(TypedDict):
    """Documents that failed alike, or wait after the same failure."""

    state: Literal["failed", "waiting"]
    code: str
    stage: Stage
    documents: int
    owners: int
    last_at: str


class OwnerLoad(TypedDict):
    """How much work an owner has here."""

    owner_id: str
    waiting: int
    running: int


class ServicePause(TypedDict):
    """A service outside that is left alone for a while."""

    name: str
    failures: int
    paused_until: str
    code: str | None


class Act(TypedDict):
    """What an operator did."""

    id: int
    at: str
    operator: str
    action: str
    subject: str
    details: dict[str, Any]


class Overview(TypedDict):
    """The whole service at one moment."""

    stages: list[StageLoad]
    workers: list[WorkerLoad]
    failures: list[FailureCount]
    owners: list[OwnerLoad]
    services: list[ServicePause]
    samples: dict[str, list[list[Any]]]
    sample_columns: list[str]
    actions: list[Act]
    may_act: bool


class StageLimit(TypedDict):
    """A stage's limit as it is now."""

    stage: Stage
    paused: bool
    max_running: int | None


class Draining(TypedDict):
    """Whether a worker claims work."""

    id: str
    draining: bool


class Retried(TypedDict):
    """What a bulk retry did."""

    retried: int
    more: bool
    before: str


class Slice(TypedDict):
    """What a tick did; `remaining` is null where another slice runs and this one was not begun."""

    claimed: int
    finished: int
    released: int
    reaped: int
    remaining: int | None
    busy: bool
