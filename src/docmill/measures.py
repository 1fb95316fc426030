"""Everything that /metrics tells, one table: name, labels, what it means and who tells it.

The table drives what is measured here and the reference in `docs/metrics.md`. Counts of work come
from the database, over all machines, and survive every process (`metrics.py`); what only a process
knows about itself it counts here. No label names an owner, a document or a file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family

from docmill import __version__

Kind = Literal["counter", "gauge", "histogram"]
Teller = Literal["database", "api", "worker", "process"]
# What a family says: the values of its labels, and its value.
Samples = Mapping[tuple[str, ...], float]

# A series that says when a counter began has no use: none here begins anew but with its process.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table.

    `told_by`: `database`, the same from every API process; `api` and `worker`, each process of that
    kind about itself; `process`, every process about itself.
    """

    kind: Kind
    told_by: Teller
    about: str
    labels: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {
    # the queue, as it is now
    "docmill_database_up": Metric(
        "gauge",
        "database",
        "1 where the database told all that follows from it; where it is 0, none of that is there.",
    ),
    "docmill_jobs": Metric(
        "gauge",
        "database",
        "Jobs that have not ended. `due` could be claimed now, `later` waits for its next try.",
        ("stage", "state"),
    ),
    "docmill_oldest_due_job_age_seconds": Metric(
        "gauge",
        "database",
        "For how long the job that has waited longest could have been claimed; 0 if none is due.",
        ("stage",),
    ),
    "docmill_stage_paused": Metric(
        "gauge", "database", "1 while an operator lets the stage rest.", ("stage",)
    ),
    "docmill_workers": Metric(
        "gauge",
        "database",
        "Workers: `live`, `draining` at an operator's wish, `silent` for longer than a lease.",
        ("state",),
    ),
    "docmill_last_tick_age_seconds": Metric(
        "gauge", "database", "How long ago a tick came; not there where none ever did."
    ),
    "docmill_embedding_service_paused": Metric(
        "gauge", "database", "1 while workers leave a failing embedding service alone."
    ),
    "docmill_webhook_deliveries": Metric(
        "gauge",
        "database",
        "What webhooks are still to be told: `due`, `later`, `sending`.",
        ("state",),
    ),
    # what was done since this was first counted
    "docmill_attempts_started_total": Metric(
        "counter", "database", "Jobs that were claimed, each time.", ("stage",)
    ),
    "docmill_attempts_ended_total": Metric(
        "counter",
        "database",
        "Attempts by how they ended: `succeeded`, `failed` (for good), `retried` (failed, and tried"
        " again), `lease_expired` (its worker was lost), `released` (given back at no cost),"
        " `cancelled`, `deleted` (with its document). `reason` is the error's code.",
        ("stage", "outcome", "reason"),
    ),
    "docmill_attempt_seconds": Metric(
        "histogram", "database", "How long attempts that succeeded took.", ("stage",)
    ),
    "docmill_pages_total": Metric(
        "counter", "database", "Pages that were read, counted when their job succeeds."
    ),
    "docmill_chunks_total": Metric(
        "counter", "database", "Passages that were cut, counted when their job succeeds."
    ),
    "docmill_embedded_chunks_total": Metric(
        "counter", "database", "Passages that were embedded, counted when their job succeeds."
    ),
    "docmill_documents_ended_total": Metric(
        "counter",
        "database",
        "Documents by how they ended; one that is retried or done anew ends again.",
        ("status", "reason"),
    ),
    "docmill_document_seconds": Metric(
        "histogram",
        "database",
        "From the upload, or the wish to have it done anew, until a document was searchable.",
    ),
    "docmill_embedding_call_seconds": Metric(
        "histogram",
        "database",
        "Calls of an embedding service for documents that it answered well. Those that failed are"
        " in `docmill_attempts_ended_total`, by their reason.",
    ),
    "docmill_embedding_texts_total": Metric(
        "counter", "database", "Texts that an embedding service was asked for and gave."
    ),
    "docmill_webhook_attempts_total": Metric(
        "counter",
        "database",
        "Tries to tell a webhook, by the answer: `2xx` to `5xx`; `none` came, or the worker"
        " stopped first.",
        ("answer",),
    ),
    "docmill_webhook_attempt_seconds": Metric(
        "histogram", "database", "How long these tries took.", ("answer",)
    ),
    # an API process about itself
    "docmill_http_requests_total": Metric(
        "counter",
        "api",
        "Requests that were answered; `route` is `none` where there is no such, or where it was"
        " refused before. `status` 499: whoever asked had gone.",
        ("method", "route", "status"),
    ),
    "docmill_http_request_seconds": Metric(
        "histogram",
        "api",
        "From a request's headers to the end of its answer, uploads and waiting (`Prefer: wait`)"
        " included.",
        ("method", "route"),
    ),
    "docmill_http_requests_in_progress": Metric(
        "gauge", "api", "Requests that are being answered."
    ),
    "docmill_problems_total": Metric(
        "counter", "api", "Refusals by their code, as in errors.md.", ("code",)
    ),
    "docmill_upload_bytes_total": Metric(
        "counter", "api", "Bytes of requests that bring files, whether the file was taken or not."
    ),
    "docmill_disk_free_bytes": Metric(
        "gauge", "api", "What is free of the embedded database's disk; only there with that."
    ),
    "docmill_disk_reserve_bytes": Metric(
        "gauge",
        "api",
        "With less free than that, uploads are refused (DOCMILL_DISK_RESERVE_BYTES).",
    ),
    # a worker that runs alone about itself
    "docmill_worker_slots": Metric(
        "gauge", "worker", "Jobs that the worker can do at once: `busy` and `free`.", ("state",)
    ),
    # every process about itself
    "docmill_build_info": Metric(
        "gauge", "process", "Always 1; which docmill it is.", ("version",)
    ),
    "docmill_pool_connections": Metric(
        "gauge",
        "process",
        "Connections to the database: `used`, `free`, and how many there may be at `most`.",
        ("state",),
    ),
    "docmill_pool_waiting": Metric(
        "gauge", "process", "Who waits for a connection, because all are used."
    ),
    "docmill_pool_requests_total": Metric(
        "counter", "process", "How often a connection was asked for."
    ),
    "docmill_pool_waits_total": Metric("counter", "process", "How often one had to be waited for."),
    "docmill_pool_wait_seconds_total": Metric("counter", "process", "For how long, in all."),
    "docmill_pool_refusals_total": Metric("counter", "process", "How often none came in time."),
    "docmill_pool_lost_connections_total": Metric(
        "counter", "process", "Connections that broke or could not be made."
    ),
    # prometheus_client's own, on Linux
    "process_cpu_seconds_total": Metric("counter", "process", "Processor time of the process."),
    "process_resident_memory_bytes": Metric("gauge", "process", "Memory of the process."),
    "process_virtual_memory_bytes": Metric("gauge", "process", "Its address space."),
    "process_open_fds": Metric("gauge", "process", "Its open files and connections."),
    "process_max_fds": Metric("gauge", "process", "How many it may have open."),
    "process_start_time_seconds": Metric("gauge", "process", "When it started, in Unix seconds."),
}

HTTP_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

# What an API process counts about itself, for as long as it lives.
OF_API = CollectorRegistry()


def _counter(name: str) -> Counter:
    row = METRICS[name]
    return Counter(name.removesuffix("_total"), row.about, row.labels, registry=OF_API)


HTTP_REQUESTS = _counter("docmill_http_requests_total")
PROBLEMS = _counter("docmill_problems_total")
UPLOAD_BYTES = _counter("docmill_upload_bytes_total")
_SECONDS = METRICS["docmill_http_request_seconds"]
HTTP_SECONDS = Histogram(
    "docmill_http_request_seconds", _SECONDS.about, _SECONDS.labels, buckets=HTTP_BOUNDS,
    registry=OF_API,
)  # fmt: skip
_IN_PROGRESS = METRICS["docmill_http_requests_in_progress"]
HTTP_IN_PROGRESS = prometheus_client.Gauge(
    "docmill_http_requests_in_progress", _IN_PROGRESS.about, registry=OF_API
)


def family(name: str, samples: Samples) -> Family:
    """A counter or gauge of the table with these values; the key has one text per label."""
    row = METRICS[name]
    made: CounterMetricFamily | GaugeMetricFamily
    if row.kind == "counter":
        made = CounterMetricFamily(name.removesuffix("_total"), row.about, labels=row.labels)
    else:
        made = GaugeMetricFamily(name, row.about, labels=row.labels)
    for labels, value in samples.items():
        made.add_metric(labels, value)
    return made


@dataclass(slots=True)
class Spread:
    """How many took how long: `counts` by bucket, the last of which has no bound.

    `micros` are whole: a sum of fractions differs by their order, and a count never goes back.
    """

    counts: list[int]
    micros: int = 0


def histogram(
    name: str, bounds: tuple[float, ...], spreads: Mapping[tuple[str, ...], Spread]
) -> Family:
    """A histogram of the table."""
    row = METRICS[name]
    made = HistogramMetricFamily(name, row.about, labels=row.labels)
    for labels, spread in spreads.items():
        below, buckets = 0, []
        for bound, count in zip((*bounds, float("inf")), spread.counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), below))
        made.add_metric(labels, buckets, spread.micros / 1e6)
    return made


def of_process(pool: Mapping[str, int]) -> Iterator[Family]:
    """What every process tells of itself; `pool` is what psycopg_pool says of its connections."""
    yield family("docmill_build_info", {(__version__,): 1})
    size, free = pool.get("pool_size", 0), pool.get("pool_available", 0)
    connections = {"used": size - free, "free": free, "most": pool.get("pool_max", 0)}
    yield family("docmill_pool_connections", {(k,): v for k, v in connections.items()})
    told = {
        "docmill_pool_waiting": pool.get("requests_waiting", 0),
        "docmill_pool_requests_total": pool.get("requests_num", 0),
        "docmill_pool_waits_total": pool.get("requests_queued", 0),
        "docmill_pool_wait_seconds_total": pool.get("requests_wait_ms", 0) / 1000,
        "docmill_pool_refusals_total": pool.get("requests_errors", 0),
        "docmill_pool_lost_connections_total": pool.get("connections_errors", 0)
        + pool.get("connections_lost", 0),
    }
    for name, value in told.items():
        yield family(name, {(): value})
    yield from ProcessCollector(registry=None).collect()


class Page:
    """Families that are told together, as text for Prometheus."""

    CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> list[Family]:
        """All of them, as prometheus_client wants it."""
        return self._families

    def text(self) -> bytes:
        """The page."""
        registry = CollectorRegistry()
        registry.register(self)
        return prometheus_client.generate_latest(registry)
