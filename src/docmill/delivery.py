"""Delivery of events to webhooks: claimed like jobs, sent by a few threads beside the documents.

At least once: a worker that dies between sending and noting leaves it to another, which sends it
under the same id. How a try went is a value; `next_step` decides by a table what follows from it.
"""

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from docmill import __version__, logs, webhook_signing
from docmill.database import Row, Statements, Sync, WorkerDatabase
from docmill.errors import Stopped
from docmill.outgoing import NoAnswer, Reach, Refused, Sender

log = logging.getLogger(__name__)

STATEMENTS = Statements("delivery")

# The waits between tries that Standard Webhooks suggests, in seconds: ten tries in three days.
WAITS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
# Less or more by this part, so that what failed together does not come back together.
CHANCE = 0.2
SENDERS = 8
AT_ONCE_PER_WEBHOOK = 2
# Fewer than the senders: however many endpoints of one owner hang, some are left for others.
AT_ONCE_PER_OWNER = 6
ANSWER_SECONDS = 15.0
# Longer than a name may take to be resolved and an answer to come: nobody renews it.
LEASE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 300.0
LASTING_SECONDS = 2 * 86_400.0
GONE = 410


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery in hand: what goes where, signed by which secrets, at which Unix second."""

    id: UUID
    webhook_id: UUID
    attempt: int
    released: int
    token: UUID
    url: str
    body: bytes
    at: int
    secrets: tuple[bytes, ...]

    @property
    def tries(self) -> int:
        """How many of the attempts count, this one included."""
        return self.attempt - self.released


@dataclass(frozen=True, slots=True)
class Answered:
    """The endpoint answered with this status."""

    status: int
    retry_after: float | None = None

    @property
    def error(self) -> str | None:
        """What went wrong, for the log; None where nothing did."""
        return None if self.is_success else f"It answered {self.status}."

    @property
    def is_success(self) -> bool:
        """Whether the endpoint took it. A redirect is no success: it is not followed."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of statuses


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer came, or nothing was sent."""

    error: str


@dataclass(frozen=True, slots=True)
class GaveBack:
    """The worker drains: another one sends it, at no cost."""


Outcome = Answered | Unanswered | GaveBack


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from a try: the delivery's state, and the wait before the next try (seconds)."""

    status: str
    wait: float = 0.0


def next_step(outcome: Outcome, tries: int, chance: float = 0.0) -> Step:
    """What follows from the `tries`-th try; `chance` lies between -1 and 1."""
    match outcome:
        case GaveBack():
            return Step("waiting")
        case Answered(is_success=True):
            return Step("delivered")
        case Answered(status=status) if status == GONE:
            return Step("failed")
    if tries > len(WAITS):
        return Step("failed")
    asked = outcome.retry_after or 0.0 if isinstance(outcome, Answered) else 0.0
    return Step("waiting", max(asked, WAITS[tries - 1] * (1 + CHANCE * chance)))


def claim(connection: Sync, worker: str, senders: int) -> list[Claimed]:
    """Take as many due deliveries as there are senders free; often none."""
    if connection.execute(STATEMENTS.look_for_waiting).fetchone() is None:
        return []
    rows = connection.execute(
        STATEMENTS.claim_deliveries,
        {
            "senders": senders,
            "at_once": AT_ONCE_PER_WEBHOOK,
            "per_owner": AT_ONCE_PER_OWNER,
            "lease": LEASE_SECONDS,
            "worker": worker,
        },
    ).fetchall()
    return [_claimed(row) for row in rows]


def send(sender: Sender, claimed: Claimed) -> Outcome:
    """Send it once. Never raises: whatever happens is an outcome."""
    signed = webhook_signing.headers(str(claimed.id), claimed.at, claimed.body, claimed.secrets)
    headers = {
        "content-type": "application/json",
        "user-agent": f"docmill/{__version__}",
        **signed,
    }
    try:
        answer = sender.post(claimed.url, headers, claimed.body)
    except Stopped:
        return GaveBack()
    except (Refused, NoAnswer) as error:
        return Unanswered(str(error))
    except Exception as error:
        log.exception("delivery %s failed", claimed.id)
        return Unanswered(f"docmill made a mistake ({type(error).__name__}).")
    return Answered(answer.status, answer.retry_after)


def note(connection: Sync, claimed: Claimed, outcome: Outcome) -> bool:
    """Write down how a try went; False where the claim no longer holds and nothing was written."""
    connection.execute(STATEMENTS.lock_webhook, {"webhook_id": claimed.webhook_id})
    step = next_step(outcome, claimed.tries, random.uniform(-1, 1))  # noqa: S311 - no secret
    fenced = connection.execute(
        STATEMENTS.note_delivery,
        {
            **_claim(claimed),
            "status": step.status,
            "wait": step.wait,
            "released": int(isinstance(outcome, GaveBack)),
        },
    ).fetchone()
    if fenced is None:
        return False
    _end_attempt(connection, claimed, outcome)
    _tell_webhook(connection, claimed, outcome, step)
    return True


def reap(connection: Sync) -> None:
    """Put what lost workers held back in line."""
    connection.execute(STATEMENTS.reap_deliveries)


def count_due(connection: Sync) -> int:
    """How many deliveries could be sent now."""
    row = connection.execute(STATEMENTS.count_due).fetchone()
    return int(row["due"]) if row else 0


class Delivery:
    """What one worker delivers: a few threads, and the claims that feed them.

    `one_ended` is called when a thread is free again.
    """

    def __init__(
        self, database: WorkerDatabase, worker: str, reach: Reach, one_ended: Callable[[], None]
    ) -> None:
        self._database = database
        self._worker = worker
        self._one_ended = one_ended
        self._stop = threading.Event()
        self._sender = Sender(reach, ANSWER_SECONDS, self._stop)
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="sender")
        self._under_way: set[Future[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        return any(not future.done() for future in self._under_way)

    def claim(self) -> int:
        """Take what is due, as far as there are threads for it, and send it; how much that is."""
        self._under_way = {future for future in self._under_way if not future.done()}
        free = SENDERS - len(self._under_way)
        if free <= 0:
            return 0
        with self._database.commit("claim_deliveries") as connection:
            claims = claim(connection, self._worker, free)
        for claimed in claims:
            self._under_way.add(self._threads.submit(self._deliver, claimed))
        return len(claims)

    def drain(self, seconds: float) -> None:
        """Let what is under way end within this time, and have the rest given back."""
        wait(self._under_way, seconds)
        self._stop.set()
        self._threads.shutdown(wait=True)

    def _deliver(self, claimed: Claimed) -> None:
        with logs.about(delivery_id=claimed.id, webhook_id=claimed.webhook_id):
            self._deliver_once(claimed)

    def _deliver_once(self, claimed: Claimed) -> None:
        outcome = send(self._sender, claimed)
        try:
            with self._database.commit("note_delivery") as connection:
                held = note(connection, claimed, outcome)
        except psycopg.OperationalError as error:
            # Its lease runs out, and it is sent again: better twice than never.
            log.warning("delivery %s is not noted: %s", claimed.id, str(error).strip())
        except Exception:
            log.exception("delivery %s is not noted", claimed.id)
        else:
            log.info(
                "delivery %s, attempt %s: %s%s",
                claimed.id, claimed.attempt, _said(outcome), "" if held else ", but lost",
            )  # fmt: skip
        finally:
            self._one_ended()


def _said(outcome: Outcome) -> str:
    match outcome:
        case Answered(status):
            return str(status)
        case Unanswered(error):
            return error
        case GaveBack():
            return "given back"


def _end_attempt(connection: Sync, claimed: Claimed, outcome: Outcome) -> None:
    status_code, error = None, "The worker stopped; another one sends it."
    match outcome:
        case Answered(status):
            status_code, error = status, outcome.error or ""
        case Unanswered(said):
            error = said
    connection.execute(
        STATEMENTS.end_attempt,
        {**_claim(claimed), "status_code": status_code, "error": error[:500] or None},
    )


def _tell_webhook(connection: Sync, claimed: Claimed, outcome: Outcome, step: Step) -> None:
    which: dict[str, Any] = {"webhook_id": claimed.webhook_id}
    match outcome:
        case GaveBack():
            return
        case Answered(is_success=True):
            connection.execute(STATEMENTS.webhook_is_well, which)
            return
    answered = outcome if isinstance(outcome, Answered) else None
    row = connection.execute(
        STATEMENTS.webhook_fails,
        {
            **which,
            "retry_after": (answered and answered.retry_after) or 0.0,
            "gone": answered is not None and answered.status == GONE,
            "gave_up": step.status == "failed",
            "cap": LONGEST_PAUSE_SECONDS,
            "lasting": LASTING_SECONDS,
        },
    ).fetchone()
    if row and row["disabled"]:
        log.warning("webhook %s is disabled", claimed.webhook_id)


def _claim(claimed: Claimed) -> dict[str, Any]:
    return {"id": claimed.id, "token": claimed.token, "attempt": claimed.attempt}


def _claimed(row: Row) -> Claimed:
    return Claimed(
        id=row["id"],
        webhook_id=row["webhook_id"],
        attempt=row["attempt"],
        released=row["released"],
        token=row["lease_token"],
        url=row["url"],
        body=row["body"].encode(),
        at=row["at"],
        secrets=tuple(bytes(secret) for secret in row["secrets"]),
    )
