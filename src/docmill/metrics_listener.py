"""The port at which a worker that runs alone tells Prometheus of itself.

What the whole service does is in the database and told by every API process; here is only what
nobody else can know: this process's slots, connections and memory. It names no owner or document.
"""

import logging
from collections.abc import Iterator

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from docmill.errors import Unavailable
from docmill.worker import Worker

log = logging.getLogger(__name__)


class _OfWorker:
    """A worker, as prometheus_client wants it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Family]:
        """What it tells."""
        return self._worker.measured()


def listen(host: str, port: int, worker: Worker) -> None:
    """Answer at this address until the process ends, from threads that hold nothing up.

    Raises:
        Unavailable: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(_OfWorker(worker))
    try:
        server, _ = prometheus_client.start_http_server(port, host, registry)
    except OSError as error:
        raise Unavailable(
            f"{host}:{port} can't be listened on ({error.strerror}). Choose another port by"
            " --metrics-port."
        ) from error
    log.info("the worker tells of itself at http://%s:%s/metrics", *server.server_address[:2])
