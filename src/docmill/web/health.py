"""`/healthz`: the process answers. `/readyz`: it can take work, or what is missing."""

from typing import Any

import psycopg
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout

from docmill import filetype, migrate
from docmill.config import Settings
from docmill.database import Async, Statements, every, one
from docmill.web.description import shaped
from docmill.web.service import Service, TheService
from docmill.web.shapes import Alive, Allowed, Ready

router = APIRouter()

WORKERS = Statements("workers")
STAGE_LIMITS = Statements("stage_limits")
NO_STORE = {"Cache-Control": "no-store"}
NO_DATABASE = {
    "ok": False,
    "detail": "The database can't be reached. Start it, or see what `docmill doctor` says.",
}
# A scheduler may be late, and one tick may be lost.
TICKS_MISSED = 3


@router.get("/healthz", responses=shaped(Alive))
async def alive() -> JSONResponse:
    """Whether the process answers; nothing else is asked."""
    return JSONResponse({"status": "alive"}, headers=NO_STORE)


@router.get("/readyz", responses=shaped(Ready) | shaped(Ready, 503, "Documents would have to wait"))
async def ready(service: TheService) -> JSONResponse:
    """Whether documents that are uploaded now will be worked on, and what is missing if not."""
    try:
        async with service.database.reading(None) as connection:
            checks = await _checks(connection, service)
    except (psycopg.Error, PoolTimeout):
        checks = {"database": NO_DATABASE}
    missing = [check["detail"] for check in checks.values() if not check["ok"]]
    return JSONResponse(
        {"ready": not missing, "missing": missing, "checks": checks},
        503 if missing else 200,
        headers=NO_STORE,
    )


@router.get("/limits", responses=shaped(Allowed))
async def limits(service: TheService) -> JSONResponse:
    """What may be uploaded, for pages and programs that say so before anyone chooses a file."""
    return JSONResponse(
        {
            "max_upload_bytes": service.settings.max_upload_bytes,
            "types": list(filetype.SUPPORTED),
        }
    )


Check = dict[str, Any]


async def _checks(connection: Async, service: Service) -> dict[str, Check]:
    """What is asked of the database. Of one with another schema only that."""
    checks = {
        "database": {"ok": True, "detail": "reachable"},
        "migrations": await _migrations(connection),
    }
    if checks["migrations"]["ok"]:
        checks["workers"] = await _workers(connection, service.settings)
        checks["stages"] = await _stages(connection)
    return checks


async def _migrations(connection: Async) -> Check:
    try:
        row = await one(connection, migrate.FITNESS.encode(), {})
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        row = None
    version, oldest_code = (row["version"], row["oldest_code"]) if row else (0, 0)
    if reason := migrate.unfitness(version, oldest_code):
        return {"ok": False, "detail": reason}
    return {"ok": True, "detail": f"version {version}"}


async def _stages(connection: Async) -> Check:
    paused = [row["stage"] for row in await every(connection, STAGE_LIMITS.paused)]
    if not paused:
        return {"ok": True, "detail": "none is paused"}
    return {
        "ok": False,
        "detail": f"Paused by an operator: {', '.join(paused)}. Documents wait until that is"
        " undone at /operator.",
    }


async def _workers(connection: Async, settings: Settings) -> Check:
    """A worker that lives, or ticks that come often enough to do without one."""
    row = await one(connection, WORKERS.live, {"lease": settings.lease_seconds})
    live = row["live"] if row else 0
    if live:
        return {"ok": True, "detail": f"{live} live", "live": live}
    tick = await one(connection, WORKERS.last_tick, {})
    patience = TICKS_MISSED * settings.tick_seconds
    if tick is not None and tick["seconds"] <= patience:
        return {"ok": True, "detail": f"ticks, the last {tick['seconds']:.0f} s ago", "live": 0}
    ticks = "no tick ever came" if tick is None else f"no tick came for {tick['seconds']:.0f} s"
    return {
        "ok": False,
        "detail": f"No worker is running, and {ticks}; documents wait until one does. Start"
        " `docmill worker`, or have a scheduler tick at least every"
        f" {settings.tick_seconds:g} s (DOCMILL_TICK_SECONDS).",
        "live": 0,
    }
