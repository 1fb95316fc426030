"""How many pages each statement may read, and what it is asked for where that is measured.

Numbers of pages of tables and indexes, triggers and foreign keys included, of a database with a
million jobs. They are no forecasts: about twice what was measured, and far below what the smallest
table or the burst would cost if it was read through.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from psycopg.types.json import Jsonb

from conftest import MODEL
from docmill import job_queue, listing
from docmill.carrying import GROUP
from docmill.database import API_ROLE, WORKER_ROLE
from docmill.status import LINE_END
from docmill.tsvectors import tsvector
from docmill.vectors import Numbers
from plans.many_rows import id_of

# Whoever runs the statements of a file.
ROLES = {
    "accepting": API_ROLE,
    "changes": API_ROLE,
    "contents": API_ROLE,
    "control": API_ROLE,
    "delivery": WORKER_ROLE,
    "documents": WORKER_ROLE,
    "events": WORKER_ROLE,
    "embedding_service": WORKER_ROLE,
    "idempotency": API_ROLE,
    "job_queue": WORKER_ROLE,
    "listing": API_ROLE,
    "metrics": API_ROLE,
    "retention": WORKER_ROLE,
    "sampling": WORKER_ROLE,
    "stage_limits": API_ROLE,
    "status": API_ROLE,
    "uploads": API_ROLE,
    "vector_index": WORKER_ROLE,
    "webhooks": API_ROLE,
    "workers": WORKER_ROLE,
}
# Files that are not measured here, and why.
ELSEWHERE = {
    "api_keys": "one row by its key, from tables that do not grow with the work",
    "doctor": "looks at the catalogue, when a person asks",
    "operations": "operators ask for sums over everything that is live",
    "upkeep": "asked by a person, of PostgreSQL's statistics",
    "search": "its cost is that of the vectors and words; bench/search_quality.py measures it",
}
# Statements whose cost grows with what they are asked for, and why that may be.
GROWS = {
    "accepting.used_bytes": "a sum over an owner's files, asked only where owners have a quota",
    "delivery.count_due": "a count of what is due, for the answer of a tick",
    "job_queue.count_due": "a count of what is due, for the answer of a tick",
    "listing.count_documents": "counts an owner's documents",
    "listing.list_collections": "counts an owner's documents",
    "retention.count": "a count of what would go, for a person who asks",
    "sampling.sample": "a sum over what is live, once a minute on all machines together",
    "webhooks.delete_webhook": "deletes a webhook's log with it",
}

ERROR = Jsonb({"code": "INTERNAL"})
# What every statement is told; psycopg takes from it what the statement names.
ALWAYS: Mapping[str, Any] = {
    **job_queue.LINES,
    "after": id_of("owner", 7),
    "asking": None,
    "base": 2.0,
    "cap": 300.0,
    "checkpoint": None,
    "done": 1,
    "error": ERROR,
    "expired": False,
    "history_days": 30,
    "operator_log_days": 365,
    "webhook_log_days": 30,
    "lease": 60.0,
    "line_end": LINE_END,
    "max_attempts": 5,
    "outcome": "succeeded",
    "patience": 3600.0,
    "priority": 0,
    "retry_after": None,
    "service": "",
    "slots": 4,
    "group": GROUP,
    "weighed_bytes": job_queue.WEIGHED_BYTES,
    "span": None,
    "stage": "parse",
    "total": None,
    "traceparent": f"00-{'1' * 32}-{'2' * 16}-01",
    "worker": "w1",
}
HASH = bytes(32)
LOST = (
    b"update processing_jobs set lease_until = now() - interval '1 hour' where status = 'running'"
)
VECTOR = {
    "numbers": Numbers(np.full((1, MODEL.dimensions), 0.1, np.float32)),
    "dimensions": MODEL.dimensions,
}
UPLOAD = {"id": id_of("upload", 5), "holder": id_of("holder", 5), "expiry": 3600.0}
CHUNK = {"stage": "chunk", "priority": -1}
ENDED = b"update webhook_secrets set expires_at = now() where expires_at is null"
WEBHOOK = {"webhook_id": id_of("webhook", 0), "id": id_of("webhook", 0)}
DELIVERED = {**WEBHOOK, "delivery_id": id_of("delivery", 30_000)}
SENDING = {
    "id": id_of("burst delivery", 300_001),
    "token": id_of("token", 300_001),
    "attempt": 1,
    "webhook_id": id_of("webhook", 2),
}
EARLIER = {"above": 0, "below": 3, "most": 1000}
OLD_JOBS = {"jobs": list(range(1, 1001)), "before": [2] * 1000, "most": 1000}
KEY = {"key": "15", "token": id_of("token", 5)}


@dataclass(frozen=True, slots=True)
class Cost:
    """Pages at most, for one of `many_rows.SUBJECTS`, with what else the statement is told."""

    pages: int
    of: str = "ended"
    told: Mapping[str, Any] = field(default_factory=dict)
    behind: bytes = b""  # what was done before it, in the same transaction


COSTS = {
    "accepting.add_collection": Cost(100, told={"name": "new"}),
    "accepting.add_document": Cost(
        200,
        told={
            "collection_id": None,
            "external_id": "a",
            "filename": "a.pdf",
            "metadata": Jsonb({}),
        },
    ),
    "accepting.add_first_job": Cost(100, "bare"),
    "accepting.add_file": Cost(100, told={"sha256": HASH, "size": 5, "data": b"hello"}),
    "accepting.add_new": Cost(
        1500,
        "waiting",
        {
            "sha256": bytes([7]) * 32,
            "data": b"hello",
            "collection": "fresh",
            "filename": "c.txt",
            "external_id": "fresh",
            "metadata": Jsonb({}),
        },
    ),
    "accepting.begin_file": Cost(100),
    "accepting.complete_file": Cost(100, "received", {"sha256": HASH, "size": 5}),
    "accepting.find_collection": Cost(100, told={"name": "papers"}),
    "accepting.find_content": Cost(100, told={"sha256": HASH}),
    "accepting.find_existing": Cost(100, told={"collection_id": None, "external_id": None}),
    "accepting.forget_file": Cost(200, "received"),
    "accepting.keep_alive": Cost(100, "received"),
    "accepting.keep_part": Cost(100, "received", {"position": 20, "data": b"hello"}),
    "accepting.replace_document": Cost(200, told={"filename": "b.pdf", "metadata": Jsonb({})}),
    "changes.read_states": Cost(5000, told={"newest": 200, "in_work": 500, "known": []}),
    "contents.find_details": Cost(50),
    "contents.find_file": Cost(50),
    "contents.list_chunks": Cost(50, told={"after": -1, "limit": 100}),
    "contents.list_chunks_within": Cost(50, told={"char_start": 0, "char_end": 5}),
    "contents.list_jobs": Cost(200),
    "contents.list_pages": Cost(50, told={"after": 0, "limit": 100}),
    "contents.read_bytes": Cost(50, told={"first": 0, "last": 5}),
    "contents.read_leaf": Cost(50, told={"at": 0, "page": None, "size": 100}),
    "contents.shown_generation": Cost(50),
    "control.add_parse_job": Cost(100, "bare"),
    "control.cancel_document": Cost(100, "waiting"),
    "control.delete_document": Cost(1000),
    "control.find_document": Cost(50),
    "control.hold_webhooks": Cost(100),
    "control.reprocess_document": Cost(100),
    "control.retry_document": Cost(100, "failed"),
    "delivery.claim_deliveries": Cost(2000, told={"senders": 8, "at_once": 2, "per_owner": 6}),
    "delivery.end_attempt": Cost(100, "running", {**SENDING, "status_code": 200, "error": None}),
    "delivery.look_for_waiting": Cost(50),
    "delivery.lock_webhook": Cost(50, told=WEBHOOK),
    "delivery.note_delivery": Cost(
        100, "running", {**SENDING, "status": "waiting", "wait": 5.0, "released": 0}
    ),
    "delivery.reap_deliveries": Cost(
        3000,
        behind=b"update webhook_deliveries set lease_until = now() - interval '1 hour'"
        b" where status = 'sending'",
    ),
    "delivery.webhook_fails": Cost(
        100,
        told={
            **WEBHOOK,
            "retry_after": 0.0,
            "gone": False,
            "gave_up": True,
            "lasting": 60.0,
        },
    ),
    "delivery.webhook_is_well": Cost(50, told=WEBHOOK),
    "documents.advance_documents": Cost(
        100,
        "running",
        {
            "pages": [1],
            "pages_totals": [1],
            "chunks": [0],
            "chunks_totals": [None],
            "embedded": [0],
            "stages": ["chunk"],
            "media_types": [None],
            "warnings": [Jsonb([])],
        },
    ),
    "documents.complete_documents": Cost(100, "whole"),
    "documents.drop_other_chunks": Cost(100, told={"generation": 2}),
    "documents.drop_other_pages": Cost(100, told={"generation": 2}),
    "documents.find_model": Cost(50, told={"name": "small"}),
    "documents.free_file": Cost(100),
    "documents.keep_chunks": Cost(
        200,
        "running",
        {
            "ordinals": [0],
            "texts": ["hello"],
            "page_firsts": [1],
            "page_lasts": [1],
            "char_starts": [0],
            "char_ends": [5],
            "headings": [Jsonb([])],
            "words": [tsvector("hello")],
        },
    ),
    "documents.keep_embeddings": Cost(200, told={"ordinals": [0], "model_id": 1, **VECTOR}),
    "documents.keep_pages": Cost(100, "running", {"numbers": [1], "texts": ["hello"]}),
    "documents.lock_file": Cost(50),
    "documents.read_chunks": Cost(50, told={"first": 0, "last": 100}),
    "documents.read_file_parts": Cost(50, told={"position": 0, "limit": 4}),
    "documents.read_small_files": Cost(50),
    "documents.read_pages": Cost(50, told={"after": 0, "limit": 100}),
    "embedding_service.count_call": Cost(50, told={"seconds": 0.2, "texts": 64}),
    "embedding_service.find_paid": Cost(50, told={"model_id": 1, "hashes": [HASH]}),
    "embedding_service.find_pause": Cost(50, told={"name": "service"}),
    "embedding_service.heal": Cost(50, told={"name": "service"}),
    "embedding_service.keep_paid": Cost(100, told={"model_id": 1, "hashes": [HASH], **VECTOR}),
    "embedding_service.pause": Cost(50, told={"name": "service"}),
    "events.announce_ends": Cost(100),
    "idempotency.begin": Cost(100, told=KEY),
    "idempotency.find": Cost(50, told=KEY),
    "idempotency.finish": Cost(
        100, told={**KEY, "fingerprint": HASH, "status": 202, "answer": Jsonb({}), "kept": 60.0}
    ),
    "idempotency.forget": Cost(50, told=KEY),
    "idempotency.renew": Cost(50, told=KEY),
    "job_queue.beat_jobs": Cost(100, "running"),
    "job_queue.checkpoint_job": Cost(100, "running"),
    "job_queue.claim_jobs": Cost(16_000),  # for about 75 jobs
    "job_queue.end_attempt": Cost(100, "running", {"error": None}),
    "job_queue.enqueue_jobs": Cost(
        100, "bare", {**CHUNK, "parts": Jsonb([{"part": 1, "total": 1}])}
    ),
    "job_queue.enqueue_taken_jobs": Cost(200, "bare", CHUNK),
    "job_queue.fail_document": Cost(100, "running"),
    "job_queue.fail_job": Cost(100, "running"),
    "job_queue.finish_jobs": Cost(100, "running", {"done": [1]}),
    "job_queue.keep_to_limits": Cost(50),
    "job_queue.list_jobs_lost_for_good": Cost(
        3000, behind=LOST + b"; update processing_jobs set attempt = 9 where status = 'running'"
    ),
    "job_queue.list_unfinished": Cost(100),
    "job_queue.lock_jobs": Cost(100),
    "job_queue.postpone_job": Cost(200, "running"),
    "job_queue.reap_jobs": Cost(20000, behind=LOST),
    "job_queue.release_job": Cost(200, "running"),
    "job_queue.requeue_ended_jobs": Cost(100, "failed"),
    "job_queue.retry_job": Cost(200, "running"),
    "job_queue.revoke_jobs": Cost(500, "running"),
    "job_queue.units_done": Cost(100, "running"),
    "job_queue.wake_workers": Cost(50),
    "listing.list_documents": Cost(
        1000,
        told={
            "statuses": ["failed"],
            "collection": None,
            "text": None,
            "pattern": None,
            "place_id": None,
            "place_key": None,
            "limit": 51,
        },
    ),
    # All that waits is counted, from indexes that hold nothing else: ten thousand jobs, and as many
    # deliveries, each with a look at its row until they are vacuumed.
    "metrics.read_bounds": Cost(50),
    "metrics.read_deliveries": Cost(12000),
    "metrics.read_queue": Cost(6000),
    "metrics.read_service": Cost(50),
    "metrics.read_tallies": Cost(200),
    "metrics.read_workers": Cost(50),
    "retention.drop_attempts": Cost(20000, told=OLD_JOBS),
    "retention.drop_jobs": Cost(6000, told=OLD_JOBS),
    "retention.drop_old_chunks": Cost(500, "made again", EARLIER),
    "retention.drop_old_pages": Cost(300, "made again", EARLIER),
    "retention.end_expired_uploads": Cost(8000),
    "retention.give_turn": Cost(50, told={"job_id": 0, "pause": 10.0}),
    "retention.hold_document": Cost(50),
    "retention.hold_turn": Cost(50),
    "retention.hold_old_jobs": Cost(300, "made again", EARLIER),
    "retention.look_at_documents": Cost(6000, told={"place": UUID(int=0), "most": 200}),
    "retention.look_at_jobs": Cost(8000, told={"place": 0, "most": 500}),
    "retention.prune_deliveries": Cost(30000),
    "retention.prune_files": Cost(1000),
    "retention.prune_operator_actions": Cost(3000),
    "retention.prune_paid": Cost(8000),
    "retention.prune_parts": Cost(2000),
    "retention.prune_requests": Cost(4000),
    "retention.prune_secrets": Cost(100),
    "retention.prune_sessions": Cost(50),
    "retention.prune_workers": Cost(50),
    "retention.take_turn": Cost(50),
    "sampling.prune": Cost(50),
    "sampling.sum_tallies": Cost(10000),
    "stage_limits.paused": Cost(50),
    "status.read_position": Cost(1400, "waiting"),
    "status.read_status": Cost(1400, "waiting"),
    "status.read_versions": Cost(50),
    "vector_index.index_some": Cost(2000, told={"some": 64}),
    "vector_index.note_large_owners": Cost(10000, told={"few": 10_000}),
    "uploads.add_part": Cost(100, "received", {"position": 20, "data": b"hello"}),
    "uploads.advance": Cost(100, "received", {**UPLOAD, "before": 0, "after": 5}),
    "uploads.become_document": Cost(
        100,
        "received",
        {**UPLOAD, "document_id": id_of("document", 5), "size": 5, "outcome": "accepted"},
    ),
    "uploads.create": Cost(
        100,
        "received",
        {**UPLOAD, "length": 5, "said": Jsonb({}), "metadata": ""},
    ),
    "uploads.drop_unconfirmed": Cost(100, "received", {"received": 5}),
    "uploads.end": Cost(100, "received", UPLOAD),
    "uploads.find": Cost(50, "received", UPLOAD),
    "uploads.hold_file": Cost(100, "received"),
    "uploads.is_held": Cost(50, "received", {**UPLOAD, "before": 0}),
    "uploads.leave": Cost(50, "received", UPLOAD),
    "uploads.read_parts": Cost(50, told={"position": 0, "end": 5}),
    "uploads.take": Cost(50, "received", {**UPLOAD, "length": None}),
    "webhooks.add_secret": Cost(50, told={**WEBHOOK, "secret": HASH}, behind=ENDED),
    "webhooks.add_test": Cost(100, told={**WEBHOOK, "event": "webhook.test"}),
    "webhooks.add_webhook": Cost(
        100,
        told={
            "url": "https://a.example/",
            "description": "",
            "events": ["document.failed"],
            "most": 20,
        },
    ),
    "webhooks.change_webhook": Cost(
        50,
        told={
            **WEBHOOK,
            "url": None,
            "description": "new",
            "events": None,
            "enabled": True,
        },
    ),
    "webhooks.end_secrets": Cost(50, told={**WEBHOOK, "overlap": 60.0}),
    "webhooks.forget_failures": Cost(50, told=WEBHOOK),
    "webhooks.hurry_deliveries": Cost(100, told=WEBHOOK),
    "webhooks.list_deliveries": Cost(
        1000,
        told={**WEBHOOK, "delivery_id": None, "place_id": None, "place_at": None, "limit": 51},
    ),
    "webhooks.list_webhooks": Cost(50, told={"id": None}),
    "webhooks.lock_webhook": Cost(50, told=WEBHOOK),
    "webhooks.replay_delivery": Cost(100, told=DELIVERED),
    "workers.gone": Cost(50, told={"id": "w1"}),
    "workers.idle": Cost(50, told={"id": "w1", "idle": True}),
    "workers.last_tick": Cost(50),
    "workers.live": Cost(50),
    "workers.note_tick": Cost(50),
    "workers.notice_dead": Cost(1000, told={"silence": 2.0}),
    "workers.seen": Cost(50, told={"id": "w1", "greeted_by": 0}),
}

NEW = {
    "sha256": bytes([8]) * 32,
    "data": b"hello",
    "collection": None,
    "filename": "c.txt",
    "external_id": None,
    "metadata": Jsonb({}),
}
FILE = b"insert into files (sha256, size) values (decode(repeat('08', 32), 'hex'), 5)"
COLLECTION = b"insert into collections (name) values ('here')"
# What the API calls functions for (migrations/0015), by statement and case: plans are kept.
FUNCTIONS = {
    "accepting.add_new: new bytes": Cost(250, "waiting", NEW),
    "accepting.add_new: new external_id": Cost(250, "waiting", {**NEW, "external_id": "fresh"}),
    "accepting.add_new: new external_id in a collection": Cost(
        250, "waiting", {**NEW, "external_id": "fresh", "collection": "here"}, COLLECTION
    ),
    "accepting.add_new: known bytes": Cost(250, "waiting", NEW, FILE),
    "accepting.add_new: known bytes in a collection": Cost(
        700, "waiting", {**NEW, "collection": "here"}, FILE + b";" + COLLECTION
    ),
    "status.read_status: waiting": Cost(250, "waiting"),
    "status.read_status: ended": Cost(100),
}


def text_of(statement: str, text: bytes) -> bytes:
    """A statement as it is sent; lists are a template, here for the newest first."""
    if statement != "listing.list_documents":
        return text
    key, kind = listing.KEYS["created_at"]
    return text.decode().format(key=key, type=kind, beyond="<", direction="desc").encode()
