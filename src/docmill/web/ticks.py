"""`POST /internal/tick`: one slice of work, asked for by a scheduler."""

from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from docmill.web.description import refusals, shaped
from docmill.web.service import TheService
from docmill.web.shapes import Slice

router = APIRouter()

USUAL_MILLISECONDS, MOST_MILLISECONDS = 20_000, 600_000


class Asked(BaseModel):
    """How long a slice may take. Schedulers add what they like."""

    budget_ms: int = Field(default=USUAL_MILLISECONDS, ge=100, le=MOST_MILLISECONDS)


@router.post("/internal/tick", responses=shaped(Slice) | refusals("TICK_FAILED"))
async def tick(service: TheService, asked: Annotated[Asked | None, Body()] = None) -> JSONResponse:
    """Reap, work what is due within the budget, give back the rest; never fails for being asked.

    `remaining` more could be claimed now: tick again at once. `busy`: a slice is running already.
    """
    done = await service.tick.work((asked or Asked()).budget_ms / 1000)
    return JSONResponse(done, headers={"Cache-Control": "no-store"})
