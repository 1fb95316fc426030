"""One fault in one process, in a database of its own: how failpoints are walked.

Every fault meets the same documents. What they must come to in the end is what an undisturbed
worker makes of them.
"""

import asyncio
import contextlib
import functools
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psutil
from psycopg.conninfo import make_conninfo

from databases import fresh_database, migrated_database
from docmill import database, embed, job_queue, migrate
from docmill.accepting import Limits, NewDocument
from docmill.config import Settings, read_settings
from docmill.database import ApiDatabase, Sync
from docmill.embed import Embedder
from docmill.events import EVENTS
from docmill.failpoint import Action, Commit, Moment
from docmill.job_queue import Claimant
from docmill.receiving import IncomingFile
from docmill.worker import Worker
from embedding_server import MOODS, EmbeddingServer, well
from made_files import pdf
from made_rows import OWNER
from running import Started, until
from witness import Outputs, outputs

LEASE_SECONDS = 1.0
QUICK = {
    "DOCMILL_LEASE_SECONDS": str(LEASE_SECONDS),
    "DOCMILL_BACKOFF_SECONDS": "0.05",
    "DOCMILL_POLL_SECONDS": "0.1",
    "DOCMILL_DRAIN_SECONDS": "0",
    "DOCMILL_SLOTS": "1",
    "DOCMILL_LOG_LEVEL": "error",
    "DOCMILL_WEBHOOK_TARGETS": "private",
}
# Of the role it is half a minute, so that a frozen worker's open transaction ends; here sooner.
IMPATIENT = "-c idle_in_transaction_session_timeout=1500ms"
SIDE_BY_SIDE = 4

PARAGRAPH = "Rain fell on the mill, and the wheel turned the stone all night long. "
DOCUMENTS = {
    "small.txt": b"one page, one passage",
    "long.pdf": pdf(*(f"Page {n}. " + f"words of page {n} " * 5 for n in range(130))),
    "long.txt": "\n\n".join(f"{n}. {PARAGRAPH * 12}" for n in range(245)).encode(),
    "blank.pdf": pdf(""),
    "broken.pdf": b"%PDF-1.7\nnot a PDF behind its first line",
}
# These lie on the way only where an embedding service is asked, and two of them where it fails.
SERVICE_COMMITS = frozenset({"keep_paid", "pause_service", "postpone"})
SERVICE_FAILS = frozenset({"pause_service", "postpone"})
# These lie on the ways of resumable uploads and of requests with a key (test_failpoints_uploads).
UPLOAD_COMMITS = frozenset({
    "create_upload", "take_upload", "keep_slice", "confirm_slice", "finish_upload", "leave_upload",
    "end_upload",
})  # fmt: skip
KEY_COMMITS = frozenset({"begin_key", "forget_key"})
# These lie on the way of what webhooks are told (test_failpoints_webhooks).
WEBHOOK_COMMITS = frozenset({"claim_deliveries", "note_delivery"})
# These lie on the way of a worker that is told to stop.
WAY_OUT = frozenset({"release", "leave"})
# Every story has a webhook, at which nobody answers: what is told of an end is one commit with it.
NOBODY = "http://127.0.0.1:9/"
# Held by a worker that is dead when the story begins: one can be tried again, one can't.
OVERDUE, LOST = "overdue.txt", "lost.txt"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens, once, in one process."""

    commit: Commit
    moment: Moment
    action: Action

    def __str__(self) -> str:
        return f"{self.commit}:{self.moment}={self.action}"


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a document: its state, its reason, all that was kept of it, what is told."""

    status: str
    code: str | None
    outputs: Outputs
    events: tuple[str, ...]


class Scene:
    """A database with the documents in it, for one fault.

    With a `service`, the workers embed by it.
    """

    def __init__(self, admin: Sync, url: str, service: EmbeddingServer | None = None) -> None:
        addresses = database.addresses(url)
        self.url = url
        self.service = service
        self.settings = QUICK | (service.settings if service else {})
        self.admin = admin
        self.addresses = addresses
        self.worker_url = make_conninfo(addresses.worker, options=IMPATIENT)
        self.documents: dict[str, UUID] = {}

    def set(self) -> None:
        """Upload the documents, by the API's own code."""
        self.add_webhook(NOBODY)
        self.accept({OVERDUE: b"held by a dead worker"})
        self.accept({LOST: b"held for the last time"}, max_attempts=1)
        with database.connect(self.addresses.worker) as connection:
            assert len(job_queue.claim(connection, Claimant("dead", 0.001), 2)) == 2
        self.accept(DOCUMENTS)

    def add_webhook(self, url: str) -> str:
        """Add a webhook that wants to know everything; its id."""
        row = self.one(
            "insert into webhooks (owner_id, url, events) values (%s, %s, %s) returning id::text",
            [OWNER, url, list(EVENTS)],
        )
        self.one(
            "insert into webhook_secrets (owner_id, webhook_id, secret) values (%s, %s, %s)"
            " returning webhook_id",
            [OWNER, row["id"], bytes(32)],
        )
        return str(row["id"])

    def accept(self, contents: dict[str, bytes], *, max_attempts: int = 5) -> None:
        """Upload some documents."""
        asyncio.run(self._accept(contents, max_attempts))

    async def _accept(self, contents: dict[str, bytes], max_attempts: int) -> None:
        api = ApiDatabase(self.addresses.api, connections=1)
        await api.open()
        for name, content in contents.items():
            file = IncomingFile(api, OWNER, Limits(1 << 30, None, max_attempts))
            await file.write(content)
            accepted = await file.commit(NewDocument(name))
            self.documents[name] = accepted.document_id
        await api.close()

    def start_worker(self, fault: Fault | None) -> Started:
        """A worker process in which the fault will happen."""
        env = {**self.settings, "DOCMILL_WORKER_DATABASE_URL": self.worker_url}
        return Started("worker", env=env | ({"DOCMILL_FAILPOINT": str(fault)} if fault else {}))

    @contextlib.contextmanager
    def healthy_worker(self) -> Iterator[None]:
        """A worker without a fault, in this process."""
        settings: Settings = read_settings(self.settings)
        embedder = embed.create_embedder(settings) if self.service else static_embedder()
        worker = Worker(settings, self.worker_url, embedder)
        thread = threading.Thread(target=worker.run_until_stopped, daemon=True)
        thread.start()
        try:
            yield
        finally:
            worker.stop()
            thread.join(60)
            assert not thread.is_alive(), "the healthy worker does not end"

    def let_rest(self, stage: str) -> None:
        """Pause a stage, as an operator does."""
        self.admin.execute("insert into stage_limits (stage, paused) values (%s, true)", [stage])

    def go_on(self) -> None:
        """No stage is paused any more."""
        self.admin.execute("delete from stage_limits")

    def all_ended(self) -> bool:
        row = self.one(
            "select count(*) as live from documents where status in ('queued', 'processing')"
        )
        return bool(row["live"] == 0)

    def one(self, query: str, parameters: Sequence[object] = ()) -> dict[str, Any]:
        row = self.admin.execute(query.encode(), list(parameters)).fetchone()
        assert row is not None
        return row

    def endings(self) -> dict[str, Ending]:
        """What became of each document."""
        found = {}
        for name, document_id in self.documents.items():
            row = self.one(
                "select status, error ->> 'code' as code from documents where id = %s",
                [document_id],
            )
            kept = outputs(self.admin, str(document_id))
            found[name] = Ending(row["status"], row["code"], kept, self.told_of(document_id))
        return found

    def told_of(self, document_id: UUID) -> tuple[str, ...]:
        """What webhooks are told of a document, in order."""
        rows = self.admin.execute(
            "select event from webhook_deliveries where document_id = %s order by version",
            [document_id],
        ).fetchall()
        return tuple(row["event"] for row in rows)

    def untrue_trails(self) -> list[dict[str, Any]]:
        """Jobs whose audit trail does not say what happened: none."""
        return self.admin.execute(
            """select j.id, j.stage, j.status, j.attempt, a.numbers, a.outcomes
               from processing_jobs j left join lateral (
                 select array_agg(attempt order by attempt) as numbers,
                        array_agg(outcome order by attempt) as outcomes,
                        bool_and(ended_at is not null) as ended
                 from job_attempts where job_id = j.id) a on true
               where j.status not in ('succeeded', 'failed', 'cancelled')
                 or a.numbers is distinct from
                   (select array_agg(n) from generate_series(1, j.attempt) n)
                 or not a.ended
                 or (j.status = 'succeeded') <> coalesce('succeeded' = any (a.outcomes), false)
                 or (j.status = 'succeeded' and a.outcomes[j.attempt] <> 'succeeded')"""
        ).fetchall()


@functools.cache
def static_embedder() -> Embedder:
    """The default embedder, for all healthy workers of this process: loading takes a while."""
    return embed.create_embedder(read_settings({}))


@contextlib.contextmanager
def new_scene(
    admin_url: str, *, with_service: bool = False, migrated: bool = True
) -> Iterator[Scene]:
    """A fresh database, with this version's schema or none, dropped at the end."""
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(EmbeddingServer()) if with_service else None
        settings = read_settings(service.settings if service else {})
        model = migrate.EmbeddingModel(*embed.model_of(settings))
        place = migrated_database(admin_url, model) if migrated else fresh_database(admin_url)
        url = stack.enter_context(place)
        admin = stack.enter_context(database.connect(url, autocommit=True))
        admin.execute("select set_config('search_path', 'docmill, extensions', false)")
        yield Scene(admin, url, service)


def undisturbed(admin_url: str, *, with_service: bool = False) -> dict[str, Ending]:
    """What the documents come to when nothing happens."""
    with new_scene(admin_url, with_service=with_service) as scene:
        scene.set()
        with scene.healthy_worker():
            until(scene.all_ended, "every document ends", stays=True)
        return scene.endings()


def suffered(admin_url: str, fault: Fault) -> dict[str, Ending]:
    """What the documents come to when the fault happens, and another worker is there after it."""
    with new_scene(admin_url, with_service=fault.commit in SERVICE_COMMITS) as scene:
        scene.set()
        if scene.service and fault.commit in SERVICE_FAILS:
            scene.service.mood = MOODS["wrong key"]
        if fault.commit in WAY_OUT:
            scene.let_rest("parse")
        faulty = scene.start_worker(fault)
        try:
            _reach(scene, faulty, fault)
            if scene.service:
                scene.service.mood = well
            if fault.action == "kill":
                assert faulty.wait() == -signal.SIGKILL
            with scene.healthy_worker():
                until(scene.all_ended, f"every document ends after {fault}", stays=True)
                before = scene.endings()
                if fault.action == "freeze":
                    faulty.go_on()
                if fault.action != "kill":
                    _ends_when_told(faulty)
            assert scene.all_ended()
            assert scene.endings() == before, f"the late worker changed something after {fault}"
            assert scene.untrue_trails() == [], f"after {fault}"
            return before
        finally:
            faulty.kill()


def _reach(scene: Scene, faulty: Started, fault: Fault) -> None:
    """Bring the worker to the failpoint: most lie on its way, two only on its way out."""
    if fault.commit in WAY_OUT:
        # Its parser stands still before it is asked for anything, so that what the worker holds
        # can't end before it is told to stop.
        until(lambda: _parser_stands_still(faulty), "the parser is there")
        scene.go_on()
        until(lambda: scene.one("select count(*) as held from processing_jobs"
                                " where worker <> 'dead' and status = 'running'")["held"] or None,
              "the worker holds something")  # fmt: skip
        faulty.process.send_signal(signal.SIGTERM)
    until(lambda: any("failpoint" in line for line in faulty.said) or None, f"{fault} is reached")


def _parser_stands_still(worker: Started) -> bool:
    zygotes = psutil.Process(worker.process.pid).children()
    # Not one that has not yet asked to die with what it was forked from: it would stand still for
    # ever. That is done once a second thread reads its requests.
    parsers = [
        parser for zygote in zygotes for parser in zygote.children() if parser.num_threads() > 1
    ]
    for parser in parsers:
        parser.suspend()
    return bool(parsers)


def _ends_when_told(faulty: Started) -> None:
    """A worker that lives ends well when it is told to; one that died of the fault has ended."""
    with contextlib.suppress(ProcessLookupError):
        faulty.process.send_signal(signal.SIGTERM)
    faulty.wait()


def side_by_side(admin_url: str, faults: Sequence[Fault]) -> dict[Fault, dict[str, Ending]]:
    """Suffer several faults, each in its own database: most of their time is waiting for leases."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return dict(
            zip(faults, pool.map(lambda fault: suffered(admin_url, fault), faults), strict=True)
        )
