"""The year itself: between days of real work everything that lies in the database becomes older.

That is how time passes here. (A clock that runs ahead for PostgreSQL, by libfaketime, was tried: it
ends servers by errors of its own.)

Each period brings as many documents as it takes away, and some of everything that leaves something
behind: reprocessings that are cancelled or fail, retries, cut-off uploads, requests with keys,
webhooks that fail, acts of operators. So what grows from the middle of the year to its end grows
for ever.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from docmill import embedded_postgres, retention
from docmill.accepting import Limits, NewDocument
from docmill.config import read_settings
from docmill.control import Control
from docmill.database import ApiDatabase
from docmill.receiving import PART_BYTES, IncomingFile
from docmill.retention import Keep
from faults import Scene, new_scene
from made_rows import OWNER
from running import until

YEAR_DAYS = 365
NEW, GROWING_OLD = 8, 24
SLACK_BYTES = 4 * 8192
BROKEN = b"%PDF-1.7\nnot a PDF behind its first line "
# A language has so many and no more: the index of words forgets none (docs/retention.md).
WORDS = [f"word{n}" for n in range(2000)]
KEPT_FOR_EVER = {
    "DOCMILL_KEEP_HISTORY_DAYS": "36500",
    "DOCMILL_KEEP_WEBHOOK_LOG_DAYS": "36500",
    "DOCMILL_KEEP_OPERATOR_LOG_DAYS": "36500",
}
SIZES = """
select relname as name, pg_total_relation_size(oid)::bigint as bytes from pg_class
where relnamespace = 'docmill'::regnamespace and relkind = 'r'
union all
select 'all', pg_database_size(current_database())
"""
# Let time pass: every time of every row is so many days longer ago, but for those who are at work.
OLDER = """
do $$
declare
  t record;
begin
  set local session_replication_role = replica;
  for t in
    select table_name as name, string_agg(format('%1$I = %1$I - interval ''1 day'' * {days}',
                                                 column_name), ', ') as changes
    from information_schema.columns
    where table_schema = 'docmill' and data_type = 'timestamp with time zone'
      and table_name not in ('workers', 'schema_migrations') group by table_name
  loop
    execute format('update docmill.%I set %s', t.name, t.changes);
  end loop;
end $$
"""
# What leaves a row behind that no document is needed for.
ODDS = (
    """insert into idempotent_requests (owner_id, key, until, fingerprint, status, answer)
       select %(owner)s, gen_random_uuid()::text, now() + interval '1 day', sha256(''), 202, '{}'
       from generate_series(1, 100)""",
    """with f as (insert into files (owner_id, receiving_until)
         select %(owner)s, 'infinity' from generate_series(1, 5) returning id),
       p as (insert into file_parts (owner_id, file_id, position, data)
         select %(owner)s, id, 0, convert_to(repeat('x', 100000), 'UTF8') from f)
       insert into uploads (owner_id, file_id, said, metadata, expires_at)
       select %(owner)s, id, '{}', '', now() + interval '1 day' from f""",
    """insert into operator_actions (at, operator, action, subject)
       select now(), 'me', 'pause', 'parse' from generate_series(1, 20)""",
    """insert into browser_sessions (token_sha256, owner_id, name, scopes, expires_at)
       select sha256(gen_random_uuid()::text::bytea), %(owner)s, 'me', '{}',
              now() + interval '1 day' from generate_series(1, 20)""",
    """insert into paid_embeddings (owner_id, model_id, text_sha256, embedding, created_at)
       select %(owner)s, min(m.id), sha256(gen_random_uuid()::text::bytea), '[1]', now()
       from embedding_models m, generate_series(1, 50) n group by n""",
    # A job that was given back a hundred times, as one that waits for a service is.
    """with job as (
         update processing_jobs set attempt = attempt + 100, released = released + 100
         where id = (select max(id) from processing_jobs where status = 'failed') returning *)
       insert into job_attempts (owner_id, job_id, attempt, worker, ended_at, outcome)
       select owner_id, id, attempt - n, 'w', now(), 'released'
       from job, generate_series(0, 99) n""",
)


@dataclass
class Year:
    """One owner's documents, the workers that work on them, and what all of it takes up."""

    scene: Scene
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    documents: list[UUID] = field(default_factory=list)
    made: int = 0

    def live(self, days: float) -> None:
        """Let so many days pass, with work on one of them."""
        self._asked(self._work)
        until(self.scene.all_ended, "every document ends")
        for statement in ODDS:
            self.scene.admin.execute(statement.encode(), {"owner": OWNER})
        self.scene.admin.execute(OLDER.format(days=days).encode())
        until(self._is_tidy, "what is needed no longer goes")

    def sizes(self) -> dict[str, int]:
        """Bytes by table, with its indexes and its TOAST; and of the whole database."""
        return {r["name"]: r["bytes"] for r in self.scene.admin.execute(SIZES.encode()).fetchall()}

    async def _work(self, api: ApiDatabase) -> None:
        control = Control(api, OWNER)
        for document_id in self.documents[:-GROWING_OLD]:
            await control.delete(document_id)
        self.documents = self.documents[-GROWING_OLD:]
        for _ in range(NEW):
            self.documents.append(await self._upload(api, f"{self.made}", self._text()))
            self.made += 1
        for document_id in self.rng.sample(self.documents[:-NEW] or self.documents, 4):
            with contextlib.suppress(Exception):  # it may be in work, or fail as it should
                await control.reprocess(document_id, 5)
        for document_id in self.rng.sample(self.documents, 2):
            await control.cancel(document_id)
            with contextlib.suppress(Exception):
                await control.retry(document_id)
        # One with a name is replaced by versions that can't be read, again and again.
        for n in range(10):
            content = BROKEN + f"{self.made} {n}".encode()
            await self._upload(api, "named", content, external_id="named")

    async def _upload(
        self, api: ApiDatabase, name: str, content: bytes, external_id: str | None = None
    ) -> UUID:
        file = IncomingFile(api, OWNER, Limits(1 << 30, None, 5))
        await file.write(content)
        offer = NewDocument(f"{name}.txt", external_id=external_id, on_duplicate="replace")
        return (await file.commit(offer)).document_id

    def _text(self) -> bytes:
        """Some passages, and now and then a file of several parts."""
        words = " ".join(self.rng.choices(WORDS, k=400))
        text = f"Document {self.made}. {words}".encode()
        return text + b" " * (3 * PART_BYTES if self.made % NEW == 0 else 0)

    def _asked(self, what: Callable[[ApiDatabase], Coroutine[Any, Any, None]]) -> None:
        async def ask() -> None:
            api = ApiDatabase(self.scene.addresses.api, connections=1)
            await api.open()
            try:
                await what(api)
            finally:
                await api.close()

        asyncio.run(ask())

    def _is_tidy(self) -> bool:
        keep = Keep.of(read_settings(self.scene.settings))
        return not any(retention.count(self.scene.admin, keep).values())


@contextlib.contextmanager
def a_year_begins(folder: Path, **settings: str) -> Iterator[Year]:
    """A server of its own, and a worker."""
    with pytest.MonkeyPatch.context() as patch:
        often = {**embedded_postgres.SETTINGS, "autovacuum_naptime": "1s"}
        patch.setattr(embedded_postgres, "SETTINGS", often)
        with (
            embedded_postgres.start(folder / "data") as server,
            new_scene(server.admin_url) as scene,
        ):
            scene.settings = scene.settings | settings
            scene.add_webhook("http://127.0.0.1:9/")
            with scene.healthy_worker():
                yield Year(scene)


def grown(half: dict[str, int], whole: dict[str, int]) -> dict[str, float]:
    """What is larger at the end than in the middle, by more than chance; how many times."""
    return {
        name: round(size / max(1, half[name]), 2)
        for name, size in whole.items()
        if size > half[name] * 1.2 + SLACK_BYTES
    }
