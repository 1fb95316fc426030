"""Owners never meet: not in rows, answers, counts or tags, and not by a pooled connection."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest

from docmill import database
from guarded import Guarded, Somebody, guarded_docmill
from pooler import pooler
from running import until
from webhook_receiver import Receiver

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TUS = {"Tus-Resumable": "1.0.0"}
# Paid by the owner whose text it is, where an endpoint is paid: not by this embedder. And nobody
# here is large.
EMPTY = {"paid_embeddings", "large_owners"}


@dataclass(frozen=True)
class Victim:
    """An owner with one of everything."""

    somebody: Somebody
    document: str
    upload: str
    webhook: str
    delivery: str
    secret: str
    key: str

    @property
    def ids(self) -> dict[str, str]:
        """What stands in paths, by the name that it has there."""
        return {
            "{document_id}": self.document,
            "{upload_id}": self.upload,
            "{webhook_id}": self.webhook,
            "{delivery_id}": self.delivery,
        }


@pytest.fixture(scope="module")
def guarded(admin_url: str) -> Iterator[Guarded]:
    with guarded_docmill(admin_url, DOCMILL_WEBHOOK_TARGETS="private") as served:
        yield served


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def victim(guarded: Guarded, receiver: Receiver) -> Victim:
    somebody = guarded.somebody("upload", "read")
    secret, key = f"secret{uuid4().hex}", uuid4().hex
    answer = somebody.http.post(
        "/documents",
        files={"file": ("plan.txt", f"the {secret} of the mill".encode())},
        data={"collection": secret, "external_id": secret, "metadata": json.dumps({"a": secret})},
        headers={"Idempotency-Key": key},
    )
    document = answer.json()["document_id"]
    somebody.completed(document)
    created = somebody.http.post("/uploads", headers={**TUS, "Upload-Length": "1000"})
    upload = created.headers["location"].rpartition("/")[2]
    sent = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    kept = somebody.http.patch(f"/uploads/{upload}", headers=sent, content=b"x" * 300)
    assert kept.headers["upload-offset"] == "300"
    browser = guarded.with_credential(None).http
    shown = {"key": somebody.http.headers["authorization"].partition(" ")[2]}
    assert browser.post("/session", json=shown).status_code == 200
    webhook, delivery = told(somebody, f"{receiver.url}/{secret}")
    return Victim(somebody, document, upload, webhook, delivery, secret, key)


def told(somebody: Somebody, url: str) -> tuple[str, str]:
    """A webhook of somebody's, and the only delivery to it, which has arrived."""
    asked = {"url": url, "events": ["document.failed"]}
    webhook = somebody.http.post("/webhooks", json=asked).json()["id"]
    delivery = somebody.http.post(f"/webhooks/{webhook}/test").json()["id"]

    def arrived() -> bool:
        (shown,) = somebody.http.get(f"/webhooks/{webhook}/deliveries").json()["deliveries"]
        return bool(shown["status"] == "delivered")

    until(arrived, "the test event arrives")
    return webhook, delivery


@pytest.fixture(scope="module")
def stranger(guarded: Guarded) -> Somebody:
    somebody = guarded.somebody("upload", "read")
    somebody.completed(somebody.upload("mine.txt", uuid4().hex.encode()))
    return somebody


# answers ---------------------------------------------------------------------------------


def paths(guarded: Guarded) -> list[str]:
    """Every path with an id in it, as docmill describes itself."""
    described = guarded.somebody("read").http.get("/openapi.json").json()
    return [path for path in described["paths"] if "_id}" in path]


def headers_for(path: str, verb: str) -> dict[str, str]:
    if path.startswith("/webhooks") and verb == "PATCH":
        return {"Content-Type": "application/json"}
    if not path.startswith("/uploads"):
        return {"If-None-Match": '"1"', "Range": "bytes=0-3", "Prefer": "wait=1"}
    sent = {"Upload-Offset": "300", "Content-Type": "application/offset+octet-stream"}
    return TUS | (sent if verb == "PATCH" else {})


def asked(somebody: Somebody, verb: str, path: str, ids: dict[str, str]) -> Any:
    """All of an answer but what differs from one answer to the next."""
    where = path
    for name, value in ids.items():
        where = where.replace(name, value)
    assert "{" not in where, "there are ids that this test does not know"
    content = b"{}" if path.startswith("/webhooks") else b"y" * 10
    answer = somebody.http.request(
        verb,
        where,
        headers=headers_for(path, verb),
        content=content if verb == "PATCH" else None,
    )
    text = answer.text
    for value in ids.values():
        text = text.replace(value, "ID")
    text = re.sub(r"urn:uuid:[0-9a-f-]+", "urn:uuid", text)
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, headers, text


def test_foreign_and_unknown_ids_are_answered_alike(
    guarded: Guarded, victim: Victim, stranger: Somebody
) -> None:
    before = state_of(victim)
    cells = 0
    for path in paths(guarded):
        for verb in VERBS:
            foreign = asked(stranger, verb, path, victim.ids)
            unknown = asked(stranger, verb, path, {name: str(uuid4()) for name in victim.ids})
            assert foreign == unknown, (verb, path)
            assert foreign[0] in {200, 204, 404, 405}, (verb, path, foreign)
            assert victim.secret not in foreign[2]
            cells += 1
    assert cells >= 70
    assert state_of(victim) == before


def state_of(victim: Victim) -> tuple[Any, ...]:
    http = victim.somebody.http
    return (
        http.get(f"/documents/{victim.document}").json(),
        http.get(f"/documents/{victim.document}/jobs").json(),
        http.head(f"/uploads/{victim.upload}", headers=TUS).headers["upload-offset"],
        http.get(f"/webhooks/{victim.webhook}").json(),
        http.get(f"/webhooks/{victim.webhook}/deliveries").json(),
    )


@pytest.mark.parametrize(
    "path",
    [
        "/documents",
        "/documents?collection={secret}",
        "/documents?external_id={secret}",
        "/documents?q=plan",
        "/documents?ids={document}",
        "/collections",
        "/webhooks",
        "/limits",
    ],
)
def test_lists_counts_and_tags_know_nothing_of_others(
    victim: Victim, stranger: Somebody, path: str
) -> None:
    where = path.format(secret=victim.secret, document=victim.document)
    before = stranger.http.get(where)
    assert before.status_code in {200, 422}, before.text
    found = before.text.replace(where, "")
    assert victim.document not in found
    assert victim.secret not in found
    another = victim.somebody.upload("another.txt", uuid4().hex.encode(), collection=victim.secret)
    victim.somebody.completed(another)
    after = stranger.http.get(where)
    if before.status_code == 200:
        assert after.json() == before.json()
        assert after.headers.get("etag") == before.headers.get("etag")


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_search_finds_nothing_of_others(victim: Victim, stranger: Somebody, mode: str) -> None:
    query = {"query": f"the {victim.secret} of the mill", "mode": mode, "limit": 50}
    assert victim.secret in victim.somebody.http.post("/search", json=query).text
    answer = stranger.http.post("/search", json=query)
    found = {hit["document_id"] for hit in answer.json()["hits"]}
    assert victim.document not in found
    assert victim.secret not in json.dumps(answer.json()["hits"])


def test_same_bytes_names_and_keys_of_another_owner_mean_nothing(
    victim: Victim, stranger: Somebody
) -> None:
    answer = stranger.http.post(
        "/documents",
        files={"file": ("plan.txt", f"the {victim.secret} of the mill".encode())},
        data={"external_id": victim.secret, "on_duplicate": "error"},
        headers={"Idempotency-Key": victim.key},
    )
    assert (answer.status_code, answer.json()["outcome"]) == (202, "accepted")
    assert answer.json()["document_id"] != victim.document
    assert "idempotency-replayed" not in answer.headers
    stranger.completed(answer.json()["document_id"])
    assert stranger.http.delete(f"/documents/{answer.json()['document_id']}").status_code == 204
    kept = victim.somebody.http.get(f"/documents/{victim.document}/content")
    assert kept.content == f"the {victim.secret} of the mill".encode()


# rows ------------------------------------------------------------------------------------


def owned_tables(guarded: Guarded) -> list[str]:
    """Those with an owner in every row; that the others need none, tests/database says."""
    rows = guarded.admin.execute(
        "select relname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where relnamespace = 'docmill'::regnamespace and relkind = 'r'"
        " and attname = 'owner_id' order by relname"
    ).fetchall()
    return [row["relname"] for row in rows]


def rows_of(guarded: Guarded, table: str, owner: UUID) -> int:
    row = guarded.admin.execute(
        f"select count(*) as n from {table} where owner_id = %s".encode(), [owner]
    ).fetchone()
    return int((row or {})["n"])


ATTEMPTS = {
    "select": "select * from {table} where owner_id = %(victim)s",
    "select all": "select * from {table} where owner_id <> %(me)s",
    "update": "update {table} set owner_id = owner_id where owner_id = %(victim)s returning 1",
    "take": "update {table} set owner_id = %(me)s where owner_id = %(victim)s returning 1",
    "delete": "delete from {table} where owner_id = %(victim)s returning 1",
    "insert": "insert into {table} select (jsonb_populate_record(null::{table}, %(row)s)).*"
    " returning 1",
}


# Not allowed; a column that nobody can set; a row that is none, where the victim has none.
REFUSALS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.GeneratedAlways,
    psycopg.errors.NotNullViolation,
    psycopg.errors.InvalidTextRepresentation,
)


@pytest.mark.parametrize("who", ["stranger", "nobody", "nonsense"])
def test_the_apis_login_reaches_no_row_of_another_owner(
    guarded: Guarded, victim: Victim, stranger: Somebody, who: str
) -> None:
    assert victim.somebody.owner is not None
    owned = owned_tables(guarded)
    before = {table: rows_of(guarded, table, victim.somebody.owner) for table in owned}
    assert {table for table, count in before.items() if not count} == EMPTY
    address = database.login_address(guarded.url, database.API_ROLE)
    cells = 0
    with database.connect(address) as connection:
        for table in owned:
            row = guarded.admin.execute(
                f"select to_jsonb(t) as row from {table} t where owner_id = %s limit 1".encode(),
                [victim.somebody.owner],
            ).fetchone()
            for name, attempt in ATTEMPTS.items():
                with connection.transaction(force_rollback=True):
                    connection.execute("set local search_path = docmill, extensions")
                    become(connection, who, stranger.owner)
                    given = {
                        "victim": victim.somebody.owner,
                        "me": stranger.owner,
                        "row": json.dumps(row["row"]) if row else "{}",
                    }
                    assert reached(connection, attempt.format(table=table), given) == 0, (
                        who,
                        table,
                        name,
                    )
                cells += 1
    assert cells == len(owned) * len(ATTEMPTS)
    assert {table: rows_of(guarded, table, victim.somebody.owner) for table in owned} == before


def become(connection: database.Sync, who: str, me: UUID | None) -> None:
    claims = {"stranger": json.dumps({"sub": str(me)}), "nonsense": '{"sub": "x\' or true"}'}
    if who in claims:
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims[who]])


def reached(connection: database.Sync, statement: str, given: dict[str, Any]) -> int:
    """How many rows a statement reached; a refusal reaches none."""
    try:
        with connection.transaction():
            return len(connection.execute(statement.encode(), given).fetchall())
    except REFUSALS:
        return 0


@pytest.mark.parametrize(
    "statement",
    [
        "set role docmill_worker",
        "set role docmill_owner",
        "set role postgres",
        "set session authorization postgres",
        "set local row_security = off; select * from docmill.documents",
        "alter table docmill.documents disable row level security",
        "create policy mine on docmill.documents using (true)",
        "create function docmill.mine() returns int language sql as 'select 1'",
        "create table public.mine (n int)",
        "create role mine",
        "grant docmill_worker to docmill_api",
        "copy (select 1) to program 'true'",
        "select pg_read_file('/etc/passwd')",
        "select * from pg_authid",
        "select lo_import('/etc/passwd')",
    ],
)
def test_the_apis_login_can_not_become_or_do_anything_else(
    guarded: Guarded, victim: Victim, statement: str
) -> None:
    assert victim.document
    address = database.login_address(guarded.url, database.API_ROLE)
    with database.connect(address, autocommit=True) as connection:
        connection.execute("select set_config('search_path', 'docmill', false)")
        with pytest.raises(psycopg.Error) as refusal:
            connection.execute(statement.encode())
        assert refusal.value.sqlstate == "42501", refusal.value


# a pooler --------------------------------------------------------------------------------


def test_owners_are_not_mixed_where_they_share_the_pooled_connections(admin_url: str) -> None:
    with pooler(admin_url) as pooled, guarded_docmill(admin_url, pooled) as served:
        owners = [served.somebody() for _ in range(8)]
        words = [f"word{uuid4().hex}" for _ in owners]
        with ThreadPoolExecutor(len(owners)) as pool:
            ids = list(pool.map(busy, owners, words))
        for owner, mine in zip(owners, ids, strict=True):
            page = owner.http.get("/documents", params={"page_size": 100}).json()
            assert {shown["document_id"] for shown in page["documents"]} == mine


def busy(owner: Somebody, word: str) -> set[str]:
    """Upload, look, search and list, at the same time as others: nothing of them is seen."""
    mine: set[str] = set()
    for n in range(6):
        mine.add(owner.upload(f"{n}.txt", f"the {word} number {n}".encode()))
        for answer in (owner.http.get("/documents"), searched(owner)):
            assert answer.status_code == 200, answer.text
            items = answer.json().get("documents") or answer.json().get("hits") or []
            assert {item["document_id"] for item in items} <= mine
    for document in mine:
        owner.completed(document)
    found = searched(owner).json()["hits"]
    assert {hit["document_id"] for hit in found} == mine
    assert all(word in hit["text"] for hit in found)
    return mine


def searched(owner: Somebody) -> httpx2.Response:
    return owner.http.post("/search", json={"query": "the word number", "limit": 50})
