"""deploy/supabase/tick.sql in a PostgreSQL with a real pg_cron, against a real docmill.

Debian's PostgreSQL has pg_cron, but neither pg_net nor pgvector. So the jobs are scheduled in a
PostgreSQL of Debian's; `docmill.tick_is_due()` there asks docmill's own database, as
docmill_scheduler; and in the place of pg_net and of Supabase's vault stand functions with their
signatures. `net.http_post` hands the request out of the database once it is committed, as pg_net
does, and the test sends it.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from psycopg.conninfo import make_conninfo

from docmill import api_keys, database
from docmill.database import Sync
from faults import Scene, new_scene
from running import PATIENCE_SECONDS, Docmill, until
from tcp_postgres import tcp_postgres

TICK = Path(__file__).parent.parent.parent / "deploy" / "supabase" / "tick.sql"
WITH_CRON = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/lib/pg_cron.so"))), None)
A_MINUTE = 90.0  # until the next full minute, and the run that begins then
STAND_INS = """
    create schema net;
    create sequence net.requests;
    create function net.http_post(
      url text, body jsonb default '{{}}', params jsonb default '{{}}',
      headers jsonb default '{{"Content-Type": "application/json"}}',
      timeout_milliseconds int default 5000
    ) returns bigint language plpgsql security definer as $$
    begin
      perform pg_notify('requests', jsonb_build_object('url', url, 'body', body,
        'headers', headers, 'timeout', timeout_milliseconds)::text);
      return nextval('net.requests');
    end $$;
    create schema vault;
    create table vault.decrypted_secrets (name text, decrypted_secret text);
    create function vault.create_secret(secret text, name text) returns void language sql as
      $$ insert into vault.decrypted_secrets values (name, secret) $$;
    create role docmill_scheduler;
    create extension dblink;
    create schema docmill;
    create function docmill.tick_is_due() returns boolean language sql as $$
      select due from dblink('{address}', 'select docmill.tick_is_due()') as asked (due boolean)
    $$;
"""


class Sender:
    """Sends what `net.http_post` was asked to, and keeps the answers."""

    def __init__(self, address: str) -> None:
        self.answers: list[httpx2.Response] = []
        self._ended = threading.Event()
        self._connection = database.connect(address, autocommit=True)
        self._connection.execute("listen requests")
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        while not self._ended.is_set():
            for told in self._connection.notifies(timeout=0.1):
                asked: dict[str, Any] = json.loads(told.payload)
                self.answers.append(
                    httpx2.post(
                        asked["url"],
                        json=asked["body"],
                        headers=asked["headers"],
                        timeout=asked["timeout"] / 1000,
                    )
                )

    def close(self) -> None:
        self._ended.set()
        self._thread.join(PATIENCE_SECONDS)
        self._connection.close()


@pytest.fixture
def scene(admin_url: str) -> Iterator[Scene]:
    del admin_url  # by its socket alone Debian's server would not get there
    with tcp_postgres() as server, new_scene(server.address()) as made:
        yield made


def test_pg_cron_ticks_when_work_is_due_and_only_then(scene: Scene) -> None:
    if WITH_CRON is None:
        pytest.skip("no pg_cron (Debian and Ubuntu: apt install postgresql-15-cron)")
    docmill = Docmill(
        None, "--workers", "0", ready=False,
        env={"DOCMILL_DATABASE_URL": scene.url, "DOCMILL_AUTH": "keys"},
    )  # fmt: skip
    tick_key = api_keys.create(scene.admin, "scheduler", "cron", ("tick",), None).text
    user_key = api_keys.create(scene.admin, "somebody", "test", ("upload", "read"), None).text
    docmill.http.headers["Authorization"] = f"Bearer {user_key}"
    with (
        tcp_postgres(
            binaries=WITH_CRON.parent.parent / "bin",
            settings={
                "shared_preload_libraries": "pg_cron",
                "cron.database_name": "postgres",
                "cron.use_background_workers": "on",
            },
        ) as server,
        database.connect(server.address(), autocommit=True) as cron,
    ):
        shown = {"Authorization": f"Bearer {tick_key}"}
        asked = docmill.http.post("/internal/tick", headers=shown)  # so that none is missed yet
        assert asked.status_code == 200, asked.text
        schedule(cron, docmill.url, tick_key, as_scheduler(scene))
        sender = Sender(server.address())
        until(lambda: runs(cron) or None, "pg_cron runs it", A_MINUTE)
        assert runs(cron) == [("succeeded", "SELECT 0")], "nothing was due"
        assert sender.answers == []
        document_id = docmill.upload("mill.txt", b"The miller weighed the barley.")
        until(lambda: docmill.status(document_id)["done"], "a tick works on it", A_MINUTE)
        docmill.completed(document_id)
        until(lambda: len(sender.answers) == 1, "the tick's answer")
        (answer,) = sender.answers
        assert answer.status_code == 200, answer.text
        assert answer.json()["finished"] == 3
        assert runs(cron)[-1] == ("succeeded", "SELECT 1")
        sender.close()
    assert docmill.stop() == 0


def as_scheduler(scene: Scene) -> str:
    scene.admin.execute("alter role docmill_scheduler password 'known to pg_cron'")
    return make_conninfo(scene.url, user="docmill_scheduler", password="known to pg_cron")


def schedule(cron: Sync, url: str, key: str, address: str) -> None:
    """Run tick.sql as a user does: with their address and key."""
    quoted = address.replace("'", "''")
    cron.execute(STAND_INS.format(address=quoted).encode())
    script = TICK.read_text(encoding="utf-8")
    for before, after in {
        "https://docmill.example.com": url,
        "dm_…": key,
        "create extension if not exists pg_net;": "",
        "'30 seconds'": "'* * * * *'",  # Debian's pg_cron is 1.4
    }.items():
        assert before in script
        script = script.replace(before, after)
    cron.execute(script.encode())


def runs(cron: Sync) -> list[tuple[str, str]]:
    rows = cron.execute(
        "select status, return_message from cron.job_run_details where end_time is not null"
        " order by runid"
    ).fetchall()
    return [(row["status"], row["return_message"]) for row in rows]
