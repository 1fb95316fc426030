"""The API's commits and the migrations', struck as the workers' are in test_failpoints.py.

What a client was told happened has happened. What it was not told has happened whole or not at all,
and it can find out which.
"""

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

import httpx2
import pytest

from databases import fresh_database
from docmill import api_keys, database, migrate
from docmill.failpoint import (
    ACTIONS,
    API_COMMITS,
    MIGRATION_COMMITS,
    MOMENTS,
    Action,
    ApiCommit,
    MigrationCommit,
    Moment,
)
from docmill.web.authentication import COOKIE
from faults import KEY_COMMITS, NOBODY, UPLOAD_COMMITS, Fault, Scene, new_scene
from running import SERVES, Started, until

PART = 1 << 20
ASKS_WHO = {"DOCMILL_AUTH": "keys"}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks, of which document, and how it sees whether that happened."""

    method: str
    path: str
    content: bytes
    happened: Callable[[Scene, str], bool]
    document: str | None = None
    media_type: str = "multipart/form-data; boundary=b"
    cookie: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def form(name: str, content: bytes, end: bytes = b"--") -> bytes:
    head = f'--b\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--b" + end + b"\r\n"


def is_there(scene: Scene, name: str) -> bool:
    """Whether the document is there, and then whole: its bytes and its first job."""
    rows = scene.admin.execute(
        """select f.size, (select sum(octet_length(p.data)) from file_parts p
                           where p.file_id = f.id) as kept,
             (select count(*) from processing_jobs j where j.document_id = d.id) as jobs
           from documents d join files f on f.id = d.file_id where d.filename = %s""",
        [name],
    ).fetchall()
    assert all(row["size"] == row["kept"] and row["jobs"] == 1 for row in rows)
    return bool(rows)


def in_state(*states: str) -> Callable[[Scene, str], bool]:
    def look(scene: Scene, document: str) -> bool:
        row = scene.one("select status from documents where id = %s", [document])
        return row["status"] in states

    return look


def is_gone(scene: Scene, document: str) -> bool:
    row = scene.one("select count(*) as there from documents where id = %s", [document])
    return bool(row["there"] == 0)


def request_for(  # noqa: PLR0911 - one return per kind of commit
    scene: Scene, commit: ApiCommit
) -> Request:
    """The request on whose way the commit lies, and a document in the state that it needs."""
    name = f"{uuid4().hex}.txt"
    if commit in {"keep_part", "accept_document"}:
        content = form(
            name, os.urandom(3 * PART if commit == "keep_part" else next(ACCEPTED_BYTES))
        )
        return Request("POST", "/documents", content, is_there, name)
    if commit == "forget_upload":
        broken = form(name, os.urandom(3 * PART), end=b"no boundary")
        return Request("POST", "/documents", broken, is_there, name)
    if commit == "operate":
        return drain_of(scene, name)
    if commit in {"change_webhook", "queue_delivery"}:
        return webhook_act(scene, next(WEBHOOK_ACTS[commit]))
    if commit in {"open_session", "close_session"}:
        return session_of(scene, commit)
    document = str(scene.documents.popitem()[1])
    if commit == "delete":
        return Request("DELETE", f"/documents/{document}", b"", is_gone, document)
    states = {"cancel": ("cancelled",), "retry": ("queued",), "reprocess": ("queued",)}[commit]
    return Request("POST", f"/documents/{document}/{commit}", b"", in_state(*states), document)


# One statement takes what fits in a part, a transaction of several what does not.
ACCEPTED_BYTES = itertools.cycle([100, PART + 100])
# Several acts of one kind of commit: each is struck by some of the faults.
WEBHOOK_ACTS = {
    "change_webhook": itertools.cycle(["add", "change", "delete", "rotate"]),
    "queue_delivery": itertools.cycle(["test", "replay"]),
}


def webhook_act(scene: Scene, act: str) -> Request:
    """What an owner does with a webhook, and what the rows say when it is done."""
    webhook = scene.add_webhook(f"{NOBODY}{uuid4().hex}")
    where, kind = f"/webhooks/{webhook}", "application/json"
    env = {"DOCMILL_WEBHOOK_TARGETS": "private"}

    def seen(query: str, *parameters: str) -> Callable[[Scene, str], bool]:
        return lambda scene, _: bool(scene.one(query, [*parameters])["is_so"])

    match act:
        case "add":
            url = f"{NOBODY}{uuid4().hex}"
            is_there = seen(
                "select count(s.secret) = 1 as is_so from webhooks w left join webhook_secrets s"
                " on s.webhook_id = w.id where w.url = %s",
                url,
            )
            asked = json.dumps({"url": url}).encode()
            return Request("POST", "/webhooks", asked, is_there, webhook, kind, env=env)
        case "change":
            query = "select description = 'new' as is_so from webhooks where id = %s"
            content = b'{"description": "new"}'
            return Request("PATCH", where, content, seen(query, webhook), webhook, kind)
        case "delete":
            query = "select count(*) = 0 as is_so from webhooks where id = %s"
            return Request("DELETE", where, b"", seen(query, webhook), webhook)
        case "rotate":
            query = (
                "select count(*) = 2 as is_so, count(*) filter (where expires_at is null) as last"
                " from webhook_secrets where webhook_id = %s having"
                " count(*) filter (where expires_at is null) = 1"
            )
            path = f"{where}/rotate-secret"
            return Request("POST", path, b"", seen(query, webhook), webhook)
        case "test":
            query = "select count(*) = 1 as is_so from webhook_deliveries where webhook_id = %s"
            return Request("POST", f"{where}/test", b"", seen(query, webhook), webhook)
    delivery = scene.one(
        "insert into webhook_deliveries (owner_id, webhook_id, event, body, status, attempt,"
        " finished_at) select owner_id, id, 'webhook.test', '{}', 'failed', 3, now() from webhooks"
        " where id = %s returning id::text",
        [webhook],
    )["id"]
    query = (
        "select status = 'waiting' and released = 3 as is_so from webhook_deliveries where id = %s"
    )
    path = f"{where}/deliveries/{delivery}/replay"
    return Request("POST", path, b"", seen(query, delivery), webhook)


def drain_of(scene: Scene, worker: str) -> Request:
    """The act of an operator on a worker that is nobody else's."""
    scene.admin.execute("insert into workers (id, slots) values (%s, 1)", [worker])
    where = f"/operator/workers/{worker}"
    return Request("POST", where, b'{"draining": true}', is_drained, worker, "application/json")


def session_of(scene: Scene, commit: ApiCommit) -> Request:
    """A browser that shows a key, or one that shows its cookie for the last time."""
    key = api_keys.create(scene.admin, "somebody", "", ["read"], None)
    if commit == "open_session":
        shown = json.dumps({"key": key.text}).encode()
        return Request(
            "POST", "/session", shown, has_session, key.id, "application/json", env=ASKS_WHO
        )
    cookie = uuid4().hex
    scene.admin.execute(
        "insert into browser_sessions (token_sha256, owner_id, key_id, name, scopes, expires_at)"
        " select sha256(%s), owner_id, id, 'a browser', scopes, now() + interval '1 hour'"
        " from api_keys where id = %s",
        [cookie.encode(), key.id],
    )
    return Request(
        "DELETE",
        "/session",
        b"",
        lambda scene, key: not has_session(scene, key),
        key.id,
        cookie=f"{COOKIE}={cookie}",
        env=ASKS_WHO,
    )


def has_session(scene: Scene, key: str) -> bool:
    row = scene.one("select count(*) as n from browser_sessions where key_id = %s", [key])
    return bool(row["n"] == 1)


def is_drained(scene: Scene, worker: str) -> bool:
    """Whether the worker is drained, and then it is written down as well."""
    row = scene.one(
        "select draining, (select count(*) from operator_actions where subject = w.id) as acts"
        " from workers w where id = %s",
        [worker],
    )
    assert row["draining"] == (row["acts"] == 1)
    return bool(row["draining"])


def prepared(scene: Scene, commit: ApiCommit, count: int) -> None:
    """As many documents as there will be faults, in the state in which the commit makes sense."""
    contents = {f"{n}.txt": f"text {n}".encode() for n in range(count)}
    if commit == "retry":
        contents = {f"{n}.pdf": b"%%PDF-1.7 broken %d" % n for n in range(count)}
    scene.accept(contents)
    if commit in {"retry", "reprocess"}:
        with scene.healthy_worker():
            until(scene.all_ended, "every document ends", stays=True)


def struck(scene: Scene, fault: Fault, request: Request) -> None:
    """Ask a server in which the fault happens, and look at what became of it."""
    env = {"DOCMILL_DATABASE_URL": scene.url, "DOCMILL_FAILPOINT": str(fault), **request.env}
    server = Started("serve", "--port", "0", "--workers", "0", env=env)
    url = server.says(SERVES.pattern)[1]
    asking = ThreadPoolExecutor(1)
    try:
        answer = asking.submit(ask, url, request)
        server.says("failpoint")
        if fault.action == "freeze":
            server.go_on()
        status = answer.result()
        assert request.document is not None
        happened = request.happened(scene, request.document)
        if fault.commit in {"keep_part", "forget_upload"} and fault.action != "freeze":
            assert not happened
        elif fault.commit == "forget_upload":
            assert (status, happened) == (400, False)
        else:
            assert happened == (fault.moment == "after" or fault.action == "freeze"), status
        assert happened or status not in {200, 201, 202, 204}, "told, but not done"
        if fault.action == "raise":
            assert status == 500
        ended = server.wait() if fault.action == "kill" else server.terminate()
        assert ended == (-signal.SIGKILL if fault.action == "kill" else 0)
    finally:
        server.kill()
        asking.shutdown()


def ask(url: str, request: Request) -> int | None:
    """The status of the answer; None if there was none."""
    headers = {"content-type": request.media_type} if request.content else {}
    if request.cookie:
        headers |= {"cookie": request.cookie, "origin": url}
    try:
        return httpx2.request(
            request.method, url + request.path, content=request.content, headers=headers, timeout=60
        ).status_code
    except httpx2.HTTPError:
        return None


@pytest.mark.parametrize(
    "commit",
    [c for c in API_COMMITS if c not in UPLOAD_COMMITS | KEY_COMMITS | {"note_key_uses"}],
)
def test_api_struck_at_a_commit_has_done_it_whole_or_not_at_all(
    admin_url: str, commit: ApiCommit
) -> None:
    faults = [Fault(commit, moment, action) for moment in MOMENTS for action in ACTIONS]
    with new_scene(admin_url) as scene:
        prepared(scene, commit, len(faults))
        requests = [request_for(scene, commit) for _ in faults]
        with ThreadPoolExecutor(2) as pool:
            for outcome in [
                pool.submit(struck, scene, fault, request)
                for fault, request in zip(faults, requests, strict=True)
            ]:
                outcome.result()
        # What a killed server left of an upload goes when its time is over.
        scene.admin.execute("update files set receiving_until = now() where size = 0")
        with scene.healthy_worker():
            until(scene.all_ended, "every document ends", stays=True)
            until(lambda: no_file_without_a_document(scene) or None, "nothing is left behind")
        assert scene.untrue_trails() == []


def test_use_of_a_key_is_counted_once_at_most_and_answers_do_not_wait_for_it(
    admin_url: str,
) -> None:
    with new_scene(admin_url) as scene:
        for moment in MOMENTS:
            for action in ACTIONS:
                fault = Fault("note_key_uses", moment, action)
                assert uses_after(scene, fault) == (moment == "after" or action == "freeze"), fault


def uses_after(scene: Scene, fault: Fault) -> int:
    """How often a key counts as used, used once at a server that is struck when it notes that."""
    key = api_keys.create(scene.admin, "somebody", "", ["read"], None)
    env = {"DOCMILL_DATABASE_URL": scene.url, "DOCMILL_FAILPOINT": str(fault), **ASKS_WHO}
    server = Started("serve", "--port", "0", "--workers", "0", env=env)
    try:
        url = server.says(SERVES.pattern)[1]
        headers = {"Authorization": f"Bearer {key.text}"}
        assert httpx2.get(f"{url}/documents", headers=headers, timeout=60).status_code == 200
        server.process.send_signal(signal.SIGTERM)  # at the latest when it ends, it notes
        server.says("failpoint")
        if fault.action == "freeze":
            server.go_on()
        server.wait()
    finally:
        server.kill()
    return int(scene.one("select uses from api_keys where id = %s", [key.id])["uses"])


def no_file_without_a_document(scene: Scene) -> bool:
    row = scene.one(
        "select count(*) as left_behind from files f"
        " where not exists (select from documents d where d.file_id = f.id)"
    )
    return bool(row["left_behind"] == 0)


@pytest.fixture
def fresh(admin_url: str) -> Iterator[str]:
    """The address of a database that docmill never saw."""
    with fresh_database(admin_url) as url:
        yield url


@pytest.mark.parametrize("action", ["kill", "raise"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("commit", MIGRATION_COMMITS)
def test_migration_struck_at_a_commit_is_whole_after_the_next(
    fresh: str, commit: MigrationCommit, moment: Moment, action: Action
) -> None:
    fault = str(Fault(commit, moment, action))
    env = {"DOCMILL_DATABASE_URL": fresh, "DOCMILL_FAILPOINT": fault}
    assert Started("migrate", env=env).wait() != 0
    assert Started("migrate", env={"DOCMILL_DATABASE_URL": fresh}).wait() == 0
    with database.connect(fresh) as connection:
        assert migrate.applied_version(connection) == migrate.newest_version()
        row = connection.execute(
            "select count(*) as models, count(to_regclass('docmill.vectors_of_model_' || id))"
            " as indexes from docmill.embedding_models"
        ).fetchone()
    assert row == {"models": 1, "indexes": 1}
