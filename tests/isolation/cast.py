"""Who can meet whom: workers and owners, with docmill's own code as what they do."""

import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from docmill import attempt, database, job_queue, retention
from docmill.accepting import Limits, NewDocument
from docmill.config import read_settings
from docmill.control import Control
from docmill.database import Addresses, Sync
from docmill.embed import Embedder
from docmill.errors import Failure
from docmill.events import EVENTS
from docmill.model import Job
from docmill.outgoing import Reach
from docmill.parse_process import ParseLimits, ParseProcess
from docmill.receiving import IncomingFile
from docmill.retention import Place
from docmill.spool import Spool
from docmill.webhooks import Change, Webhooks
from docmill.worker import Worker
from docmill.workplace import Workplace
from isolation.turns import Session, TurnApiDatabase, TurnCursor, TurnWorkerDatabase
from made_rows import OWNER

# A lease that no test outlives, and no wait before the next try.
SETTINGS = read_settings({"DOCMILL_LEASE_SECONDS": "3600", "DOCMILL_BACKOFF_SECONDS": "0"})
# The owner's webhook, which wants to know everything. Nobody delivers here.
WEBHOOK = UUID(int=1)
LIMITS = Limits(SETTINGS.max_upload_bytes, None, SETTINGS.max_attempts)


class WorkerPart(Worker):
    """A worker that is not opened: no heartbeat, no listener. Its steps are called one by one."""

    def __init__(self, name: str, addresses: Addresses, embedder: Embedder, model_id: int) -> None:
        super().__init__(SETTINGS, addresses.worker, embedder)
        self._spool.close()
        self._database.close()
        self.session = Session(name)
        self._database = TurnWorkerDatabase(addresses.worker, connections=2)
        self._spool = Spool(self._database)
        self._carrier._database = self._database
        self._parser = ParseProcess(ParseLimits(), self._zygote)
        self._beats = database.connect(addresses.worker, autocommit=True)
        self._beats.cursor_factory = TurnCursor
        place = Workplace(
            self._database, self._claimant, self._parser, self._spool, embedder, model_id
        )
        self._places.put(place)
        self.session.call(self._parser.start)

    def claim(self) -> list[Job]:
        """Take one job and do not begin with it."""
        with self._database.commit("claim") as connection:
            return job_queue.claim(connection, self._claimant, 1, self._embedder.name)

    def carry(self, job: Job) -> None:
        """Work on a job, and on what follows from it, to the end."""
        self._carry([self._heartbeat.hold(job)])

    def beat(self, job: Job) -> None:
        """Say that it is here, and renew the lease."""
        hold = self._heartbeat.hold(job)
        self._heartbeat._beat(self._beats)
        self._heartbeat.let_go(hold)

    def release(self, job: Job) -> None:
        """Give a job back."""
        self._settle(job, attempt.GaveBack())

    def fail(self, job: Job, code: str) -> None:
        """Write down that an attempt failed."""
        self._settle(job, attempt.Failed(Failure(code, "It happened.")))

    def reap(self) -> None:
        """Notice the dead, put their jobs back in line, fail those that are lost for good."""
        self._reap()

    def sweep(self) -> None:
        """Drop what is left of earlier generations and attempts."""
        with self._database.commit("sweep") as connection:
            retention.sweep(connection, self._keep, Place())

    def fail_lost(self, job: Job) -> None:
        """Fail one that was found lost for good."""
        self._fail_lost(job)

    def leave(self) -> None:
        """Let go of everything."""
        self._parser.close()
        self._zygote.close()
        self._spool.close()
        self._database.close()
        self._beats.close()
        self.session.close()

    def _settle(self, job: Job, outcome: attempt.Outcome) -> None:
        attempt.settle(
            self._database, job, outcome, self._policy,
            service=self._embedder.name, hurry=threading.Event(), until=time.monotonic() + 60,
        )  # fmt: skip


class OwnerPart:
    """Somebody at the API, by the API's role and with the owner's claims."""

    def __init__(self, name: str, addresses: Addresses) -> None:
        self.session = Session(name)
        self._database = TurnApiDatabase(addresses.api, connections=1)
        self._control = Control(self._database, OWNER)
        self._webhooks = Webhooks(self._database, OWNER, Reach())
        self._call(self._open)

    def cancel(self, document_id: UUID) -> None:
        self.session.wait_for(self._control.cancel(document_id))

    def retry(self, document_id: UUID) -> None:
        self.session.wait_for(self._control.retry(document_id))

    def reprocess(self, document_id: UUID) -> None:
        self.session.wait_for(self._control.reprocess(document_id, SETTINGS.max_attempts))

    def delete(self, document_id: UUID) -> None:
        self.session.wait_for(self._control.delete(document_id))

    def delete_webhook(self) -> None:
        self.session.wait_for(self._webhooks.delete(WEBHOOK))

    def enable_webhook(self) -> None:
        self.session.wait_for(self._webhooks.change(WEBHOOK, Change(enabled=True)))

    def upload(self, document: NewDocument, content: bytes) -> UUID:
        """Upload a file; the document that it has become, or was already."""
        return self.session.wait_for(self._upload(document, content))

    def leave(self) -> None:
        """Let go of everything."""
        self._call(self._database.close)
        self.session.close()

    async def _upload(self, document: NewDocument, content: bytes) -> UUID:
        file = IncomingFile(self._database, OWNER, LIMITS)
        await file.write(content)
        return (await file.commit(document)).document_id

    async def _open(self) -> None:
        """Open, and wait for the connection: the pool makes it only while this loop runs."""
        await self._database.open()
        async with self._database.reading(OWNER):
            pass

    def _call(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.session.call(lambda: self.session.wait_for(function()))


Part = WorkerPart | OwnerPart


class Cast:
    """Three workers, two owners, and a superuser who looks on and puts things back."""

    def __init__(self, admin: Sync, addresses: Addresses, embedder: Embedder) -> None:
        self.admin = admin
        row = admin.execute("select id from embedding_models").fetchone()
        assert row is not None
        self.workers = {
            name: WorkerPart(name, addresses, embedder, row["id"])
            for name in ("first", "second", "third")
        }
        self.owners = {name: OwnerPart(name, addresses) for name in ("owner", "another")}

    def add_webhook(self) -> None:
        """Let the owner have a webhook, from before anything happens."""
        self.admin.execute(
            "insert into webhooks (id, owner_id, url, events) values (%s, %s, 'https://a.example',"
            " %s) on conflict do nothing",
            [WEBHOOK, OWNER, list(EVENTS)],
        )

    def __getitem__(self, name: str) -> Part:
        return self.workers.get(name) or self.owners[name]

    def leave(self) -> None:
        """Leave nothing behind."""
        for worker in self.workers.values():
            worker.leave()
        for owner in self.owners.values():
            owner.leave()
