"""`/healthz`: the process answers. `/readyz`: it can take work, or what is missing."""

from typing import Any

import psycopg
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout

from docmill import filetype, migrate
from docmill.database import Async, Statements
from docmill.web.description import shaped
from docmill.web.service import TheService
from docmill.web.shapes import Alive, Allowed, Ready

router = APIRouter()

WORKERS = Statements("workers")
STAGE_LIMITS = Statements("stage_limits")
NO_STORE = {"Cache-Control": "no-store"}


@router.get("/healthz", responses=shaped(Alive))
async def alive() -> JSONResponse:
    """Whether the process answers; nothing else is asked."""
    return JSONResponse({"status": "alive"}, headers=NO_STORE)


@router.get("/readyz", responses=shaped(Ready) | shaped(Ready, 503, "Documents would have to wait"))
async def ready(service: TheService) -> JSONResponse:
    """Whether documents that are uploaded now will be worked on, and what is missing if not."""
    try:
        async with service.database.reading(None) as connection:
            checks = {
                "database": {"ok": True, "detail": "reachable"},
                "migrations": await _migrations(connection),
                "workers": await _workers(connection, service.settings.lease_seconds),
                "stages": await _stages(connection),
            }
    except (psycopg.Error, PoolTimeout):
        checks = {"database": {"ok": False, "detail": "The database can't be reached."}}
    is_ready = all(check["ok"] for check in checks.values())
    return JSONResponse(
        {"ready": is_ready, "checks": checks}, 200 if is_ready else 503, headers=NO_STORE
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


async def _migrations(connection: Async) -> dict[str, Any]:
    cursor = await connection.execute(migrate.FITNESS.encode())
    row = await cursor.fetchone() or {"version": 0, "oldest_code": 0}
    if reason := migrate.unfitness(row["version"], row["oldest_code"]):
        return {"ok": False, "detail": reason}
    return {"ok": True, "detail": f"version {row['version']}"}


async def _stages(connection: Async) -> dict[str, Any]:
    cursor = await connection.execute(STAGE_LIMITS.paused)
    paused = [row["stage"] for row in await cursor.fetchall()]
    if not paused:
        return {"ok": True, "detail": "none is paused"}
    return {"ok": False, "detail": f"Paused by an operator: {', '.join(paused)}. Documents wait."}


async def _workers(connection: Async, lease_seconds: float) -> dict[str, Any]:
    cursor = await connection.execute(WORKERS.live, {"lease": lease_seconds})
    row = await cursor.fetchone()
    live = row["live"] if row else 0
    if live:
        return {"ok": True, "detail": f"{live} live", "live": live}
    return {
        "ok": False,
        "detail": "No worker is running; documents wait until one does. Start `docmill worker`.",
        "live": 0,
    }
