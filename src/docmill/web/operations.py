"""`/operator/…`: the whole service in one answer, and what may be done to it."""

from datetime import MAXYEAR, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
)

from docmill import operations, status
from docmill.web import conditional
from docmill.web.description import refusals, shaped
from docmill.web.service import TheOperations, TheOperator, TheOwner, TheService
from docmill.web.shapes import Draining, Overview, Retried, Stage, StageLimit

router = APIRouter()

LOOK_AGAIN_SECONDS = 2
A_DAY = 24 * 60
LONGEST_WORKER = 300
FIRST_YEAR = 1900


@router.get(
    "/operator/overview",
    responses=shaped(Overview) | conditional.UNCHANGED | refusals("OPERATOR_REQUIRED"),
    openapi_extra=conditional.ASKED,
)
async def overview(
    request: Request,
    service: TheService,
    owner: TheOwner,
    operator: TheOperator,
    *,
    minutes: Annotated[int, Query(ge=1, le=A_DAY, description="how far back samples go")] = 60,
) -> Response:
    """Stages, workers, failures, load per owner, samples of the last minutes, and the last acts."""
    async with service.database.reading(owner) as connection:
        seen = await operations.overview(
            connection, lease_seconds=service.settings.lease_seconds, minutes=minutes
        )
    body = {**seen, "sample_columns": operations.SAMPLE_COLUMNS, "may_act": operator.may_act}
    # A beat alone is no news: whether it came in time is the worker's `state`.
    tagged = {**body, "workers": [{**worker, "seen_at": None} for worker in body["workers"]]}
    return conditional.answer(
        request, body, {"Retry-After": str(LOOK_AGAIN_SECONDS)}, tagged=tagged
    )


class StageChange(BaseModel):
    """What of a stage's limit changes; what is not named stays."""

    model_config = ConfigDict(extra="forbid")

    paused: StrictBool | None = None
    max_running: StrictInt | None = Field(None, ge=1, le=10_000, description="null for no limit")


@router.post(
    "/operator/stages/{stage}", responses=shaped(StageLimit) | refusals("OPERATOR_REQUIRED")
)
async def change_stage(stage: Stage, change: StageChange, acts: TheOperations) -> JSONResponse:
    """Pause a stage, let it go on, or limit how many of its jobs run at once on all machines."""
    limit = await acts.limit(
        stage,
        paused=change.paused,
        max_running=change.max_running,
        keep_limit="max_running" not in change.model_fields_set,
    )
    return _done({"stage": stage, "paused": limit.paused, "max_running": limit.max_running})


class WorkerChange(BaseModel):
    """Whether a worker claims work."""

    model_config = ConfigDict(extra="forbid")

    draining: StrictBool


@router.post(
    "/operator/workers/{worker}",
    responses=shaped(Draining) | refusals("OPERATOR_REQUIRED", "WORKER_UNKNOWN"),
)
async def change_worker(
    worker: Annotated[str, Path(max_length=LONGEST_WORKER, pattern=r"^[^\x00]*$")],
    change: WorkerChange,
    acts: TheOperations,
) -> JSONResponse:
    """Drain a worker: it finishes what it holds and claims nothing. Or let it on again."""
    await acts.drain(worker, drain=change.draining)
    return _done({"id": worker, "draining": change.draining})


def written(moment: object) -> object:
    """A moment in text; a number could be seconds or milliseconds."""
    if not isinstance(moment, str):
        raise ValueError("a time such as 2026-11-25T12:00:00Z")  # noqa: TRY004 - as pydantic wants it
    return moment


def in_its_range(moment: datetime) -> datetime:
    """A moment that every time zone has a name for; the calendar ends with the year 9999."""
    if not FIRST_YEAR <= moment.year < MAXYEAR:
        raise ValueError(f"a time from {FIRST_YEAR} to {MAXYEAR - 1}")
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(written), AfterValidator(in_its_range)]


class BulkRetry(BaseModel):
    """Which failures are retried: of a reason and a stage, from before a moment."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(max_length=100, pattern=r"^[A-Z_]+$")
    stage: Stage
    before: Moment | None = Field(None, description="now by the database's clock")


@router.post("/operator/retry", responses=shaped(Retried) | refusals("OPERATOR_REQUIRED"))
async def retry_failures(asked: BulkRetry, acts: TheOperations) -> JSONResponse:
    """Retry up to 200 documents that failed alike; asked again with the same `before`, the next."""
    done = await acts.retry(asked.code, asked.stage, asked.before)
    before = status.shown_time(done.before)
    return _done({"retried": done.documents, "more": done.is_more, "before": before})


def _done(body: dict[str, Any]) -> JSONResponse:
    return JSONResponse(body, headers={"Cache-Control": "no-store"})
