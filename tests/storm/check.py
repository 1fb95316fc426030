"""What must hold after a storm: each check gives a sentence for everything that is not so."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from docmill.database import Sync
from storm.history import Exchange, History
from witness import outputs

# What a client may be told; and at any time that the database is away, or its disk full.
EXPECTED = {
    "upload": {200, 202},
    "status": {200, 304, 404},
    "cancel": {202, 404},
    "retry": {202, 404, 409},
    "reprocess": {202, 404, 409},
    "delete": {204, 404},
    "search": {200},
    "cut off": {400},
    "slice": {200, 201, 204, 409, 423},
}
OUTAGES = {503, 507}
LIVE = ("queued", "processing")


def violations(history: History, admin: Sync) -> Iterator[str]:
    """Everything that is not as it must be, once the faults are over and all work has ended."""
    yield from history.lies
    yield from unexpected_answers(history)
    yield from lost_documents(history, admin)
    yield from changed_bytes(history, admin)
    yield from versions_that_go_back(history)
    yield from false_statuses(history)
    yield from revived_documents(history)
    yield from unfinished_documents(admin)
    yield from doubled_or_missing_outputs(admin)
    yield from untrue_trails(admin)
    yield from orphans(admin)


def unexpected_answers(history: History) -> Iterator[str]:
    for exchange in history.exchanges:
        if exchange.status is None:
            continue
        if exchange.status not in EXPECTED[exchange.action] | OUTAGES:
            yield f"{exchange.action} was answered {exchange.status}: {exchange.body}"
        if exchange.status in {423, 503} and not exchange.retry_after:
            yield f"{exchange.action}: a {exchange.status} without Retry-After"


def lost_documents(history: History, admin: Sync) -> Iterator[str]:
    """Acknowledged is durable: it is there unless somebody asked to delete it."""
    there = {str(row["id"]) for row in admin.execute("select id from documents")}
    asked = {e.document for e in history.exchanges if e.action == "delete"}
    gone = {
        e.document for e in history.exchanges if e.action == "delete" and e.status in {204, 404}
    }
    for exchange in history.exchanges:
        if exchange.action == "upload" and exchange.document:
            document = exchange.document
            if document not in there and document not in asked:
                yield f"{document} was acknowledged and is not there"
    yield from (f"{document} was deleted and is there" for document in gone & there)
    for exchange in history.exchanges:
        if exchange.status == 404 and exchange.document not in asked:
            yield f"{exchange.action}: {exchange.document} was not found, and nobody deleted it"


def changed_bytes(history: History, admin: Sync) -> Iterator[str]:
    """What is kept of a document is what was sent."""
    rows = admin.execute(
        "select d.id::text, encode(f.sha256, 'hex') as sha256, encode(sha256((select string_agg("
        " p.data, ''::bytea order by p.position) from file_parts p where p.file_id = f.id)), 'hex')"
        " as kept from documents d join files f on f.id = d.file_id"
    ).fetchall()
    kept = {row["id"]: row for row in rows}
    for exchange in history.exchanges:
        row = kept.get(exchange.document or "") if exchange.action == "upload" else None
        if row and not exchange.content == row["sha256"] == row["kept"]:
            yield f"{exchange.document}: {exchange.content} was sent, {row} is kept"


def statuses(history: History) -> dict[str, list[Exchange]]:
    """What was seen of each document, in the order in which its only client saw it."""
    seen: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in history.exchanges:
        if exchange.action == "status" and exchange.status == 200 and exchange.body:
            seen[exchange.body["document_id"]].append(exchange)
    return seen


def versions_that_go_back(history: History) -> Iterator[str]:
    for document, seen in statuses(history).items():
        for before, after in pairwise(e.body or {} for e in seen):
            if after["version"] < before["version"]:
                yield f"{document}: version {before['version']} and then {after['version']}"
            if after["version"] == before["version"] and after["status"] != before["status"]:
                yield f"{document}: {before['status']} and {after['status']} in one version"
            same = after["generation"] == before["generation"]
            if same and after["progress"]["percent"] < before["progress"]["percent"]:
                yield f"{document}: its percentage went back"


def false_statuses(history: History) -> Iterator[str]:
    for document, seen in statuses(history).items():
        for body in (e.body or {} for e in seen):
            if (body["progress"]["percent"] == 100) != (body["status"] == "completed"):
                yield f"{document}: {body['progress']['percent']} % and {body['status']}"
            if body["status"] == "failed" and not body["error"]:
                yield f"{document}: failed without a reason"
            if body["status"] == "failed" and body["error"]["code"] != "FILE_UNREADABLE":
                yield f"{document}: failed by {body['error']['code']}, which its content can't be"


def revived_documents(history: History) -> Iterator[str]:
    """What was ended stays ended until somebody asks for more.

    An upload asks for more where the same bytes were cancelled; one whose answer was lost may have
    asked for any of its client's documents.
    """
    for document, exchanges in exchanges_about(history).items():
        ended = None
        for exchange in exchanges:
            if exchange.action in {"retry", "reprocess", "delete", "upload"}:
                ended = None
            elif exchange.action == "status" and exchange.status == 200 and exchange.body:
                status = exchange.body["status"]
                if ended and status != ended:
                    yield f"{document}: {ended} and then {status}, though nobody asked for it"
                ended = status if exchange.body["done"] else None


def exchanges_about(history: History) -> dict[str, list[Exchange]]:
    """What concerns each document, in order; with its client's uploads that got no answer."""
    owners = {e.document: e.client for e in history.exchanges if e.document}
    about: dict[str, list[Exchange]] = {document: [] for document in owners}
    for exchange in history.exchanges:
        if exchange.document:
            about[exchange.document].append(exchange)
        elif exchange.action == "upload":
            for document, client in owners.items():
                if client == exchange.client:
                    about[document].append(exchange)
    return about


def unfinished_documents(admin: Sync) -> Iterator[str]:
    for row in admin.execute("select id, status from documents where status = any(%s)", [[*LIVE]]):
        yield f"{row['id']} is {row['status']} for ever"


def doubled_or_missing_outputs(admin: Sync) -> Iterator[str]:
    """Documents with the same bytes have the same outputs, and as many as their counts say."""
    rows = admin.execute(
        """select d.id, d.file_id, d.pages_done, d.chunks_done, d.embedded_done,
             (select count(*) from pages p where p.document_id = d.id) as pages,
             (select count(*) from chunks c where c.document_id = d.id) as chunks,
             (select count(*) from embeddings e where e.document_id = d.id) as embeddings
           from documents d where d.status = 'completed' order by d.created_at"""
    ).fetchall()
    first: dict[object, object] = {}
    for row in rows:
        counted = (row["pages_done"], row["chunks_done"], row["embedded_done"])
        if counted != (row["pages"], row["chunks"], row["embeddings"]):
            yield f"{row['id']} counts {counted} and has {row}"
        kept = outputs(admin, str(row["id"]))
        if first.setdefault(row["file_id"], kept) != kept:
            yield f"{row['id']} came to something else than another document with the same bytes"


def untrue_trails(admin: Sync) -> Iterator[str]:
    for row in admin.execute(
        """select j.id, j.stage, j.status, j.attempt, a.numbers, a.outcomes
           from processing_jobs j left join lateral (
             select coalesce(array_agg(attempt order by attempt), '{}') as numbers,
                    coalesce(array_agg(outcome order by attempt), '{}') as outcomes
             from job_attempts where job_id = j.id) a on true
           where j.status in ('queued', 'running')
             or a.numbers <> array(select n from generate_series(1, j.attempt) n)
             or array_position(a.outcomes, null) is not null
             or (j.status = 'succeeded' and a.outcomes[j.attempt] <> 'succeeded')
             or cardinality(array_positions(a.outcomes, 'succeeded')) > 1"""
    ):
        yield f"the audit trail is not true: {row}"


def orphans(admin: Sync) -> Iterator[str]:
    row = admin.execute(
        "select count(*) as n from files f where f.receiving_until is null"
        " and not exists (select from documents d where d.file_id = f.id)"
    ).fetchone()
    if row and row["n"]:
        yield f"{row['n']} files belong to no document"


def live_without_a_job(admin: Sync) -> Iterator[str]:
    """Documents that are said to be worked on, and nothing is there that works or will."""
    for row in admin.execute(
        """select d.id, d.status from documents d
           where d.status in ('queued', 'processing') and not exists (
             select from processing_jobs j where j.document_id = d.id
             and j.generation = d.generation and j.status in ('queued', 'running'))"""
    ):
        yield f"{row['id']} is {row['status']}, but nobody has or will have its job"
