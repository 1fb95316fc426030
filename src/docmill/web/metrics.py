"""`GET /metrics`: the whole service and this process, for Prometheus."""

import shutil
from collections.abc import Iterator

import psycopg
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client.metrics_core import Metric as Family
from psycopg_pool import PoolTimeout

from docmill import measures, metrics
from docmill.disk_reserve import DiskReserve
from docmill.measures import Page, family
from docmill.web.service import TheService

router = APIRouter()


@router.get("/metrics", response_class=PlainTextResponse)
async def read_metrics(service: TheService) -> Response:
    """Counts over all owners, in Prometheus' text format; without the database, those of here."""
    try:
        async with service.database.reading(None) as connection:
            seen = await metrics.read(connection, service.settings.lease_seconds)
    except (psycopg.Error, PoolTimeout):
        seen = None
    page = Page(
        [
            *metrics.families(seen),
            *measures.OF_API.collect(),
            *_disk(service.limits.disk),
            *measures.of_process(service.database.pool_stats()),
        ]
    )
    return Response(
        page.text(), media_type=Page.CONTENT_TYPE, headers={"Cache-Control": "no-store"}
    )


def _disk(disk: DiskReserve | None) -> Iterator[Family]:
    if disk is not None:
        free = shutil.disk_usage(disk.folder).free
        yield family("docmill_disk_free_bytes", {(): free})
        yield family("docmill_disk_reserve_bytes", {(): disk.reserve_bytes})
