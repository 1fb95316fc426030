"""`/webhooks`: where an owner is told of documents that have ended, and what was sent."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
)

from docmill import status, storable, webhooks
from docmill.database import Row
from docmill.events import EVENTS, USUAL_EVENTS, Event
from docmill.outgoing import LONGEST_URL
from docmill.web import conditional, paging
from docmill.web.description import refusals, shaped
from docmill.web.service import TheOwner, TheWebhooks
from docmill.web.shapes import Delivery, DeliveryList, Webhook, WebhookList, WebhookWithSecret
from docmill.webhooks import Change

router = APIRouter()

UNKNOWN = refusals("NOT_FOUND")
NO_STORE = {"Cache-Control": "no-store"}
TIME = TypeAdapter(datetime)
PLACE: TypeAdapter[tuple[datetime, UUID]] = TypeAdapter(tuple[AwareDatetime, UUID])

# Why nothing is sent to a webhook, for people.
REASONS = {
    "asked": "It was disabled by request.",
    "gone": "Its endpoint answered 410: it is gone.",
    "failing": "Nothing got through to it for days.",
}
HOW_TO_ENABLE = 'PATCH with {"enabled": true} enables it; what waits is sent then.'


def _kept(text: str) -> str:
    """A text that the database keeps."""
    if not storable.is_text(text):
        raise ValueError("it has characters that can't be kept")
    return text


Url = Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
Description = Annotated[str, Field(max_length=500), AfterValidator(_kept)]
Events = Annotated[list[Event], Field(min_length=1, max_length=len(EVENTS))]


class NewWebhook(BaseModel):
    """Where to, and what of."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Events = Field(default_factory=lambda: list(USUAL_EVENTS))
    description: Description = ""


class WebhookChange(BaseModel):
    """What of a webhook changes; what is not named, or null, stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: StrictBool | None = None


@router.post(
    "/webhooks",
    status_code=201,
    responses=shaped(WebhookWithSecret, 201) | refusals("WEBHOOK_URL_REFUSED", "TOO_MANY_WEBHOOKS"),
)
async def add_webhook(new: NewWebhook, hooks: TheWebhooks) -> JSONResponse:
    """Add a webhook. Its secret is in this answer and in no other."""
    added, secret = await hooks.add(new.url, _once_each(new.events), new.description)
    body = {**shown(await hooks.find(added)), "secret": secret}
    return JSONResponse(body, 201, {**NO_STORE, "Location": f"/webhooks/{added}"})


@router.get(
    "/webhooks",
    responses=shaped(WebhookList) | conditional.UNCHANGED,
    openapi_extra=conditional.ASKED,
)
async def list_webhooks(request: Request, hooks: TheWebhooks) -> Response:
    """The owner's webhooks, oldest first, without their secrets."""
    rows = await hooks.all()
    body = {"webhooks": [shown(row) for row in rows], "next_page_token": ""}
    return conditional.answer(request, body)


@router.get(
    "/webhooks/{webhook_id}",
    responses=shaped(Webhook) | conditional.UNCHANGED | UNKNOWN,
    openapi_extra=conditional.ASKED,
)
async def read_webhook(webhook_id: str, request: Request, hooks: TheWebhooks) -> Response:
    """One webhook."""
    return conditional.answer(request, shown(await hooks.find(id_of(webhook_id))))


@router.patch(
    "/webhooks/{webhook_id}",
    responses=shaped(Webhook) | refusals("NOT_FOUND", "WEBHOOK_URL_REFUSED"),
)
async def change_webhook(webhook_id: str, asked: WebhookChange, hooks: TheWebhooks) -> JSONResponse:
    """Change a webhook, disable it, or enable it again."""
    which = id_of(webhook_id)
    wanted = None if asked.events is None else _once_each(asked.events)
    change = Change(asked.url, wanted, asked.description, asked.enabled)
    await hooks.change(which, change)
    return JSONResponse(shown(await hooks.find(which)), headers=NO_STORE)


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=UNKNOWN)
async def delete_webhook(webhook_id: str, hooks: TheWebhooks) -> Response:
    """Delete a webhook with its log."""
    await hooks.delete(id_of(webhook_id))
    return Response(status_code=204)


@router.post("/webhooks/{webhook_id}/rotate-secret", responses=shaped(WebhookWithSecret) | UNKNOWN)
async def rotate_secret(webhook_id: str, hooks: TheWebhooks) -> JSONResponse:
    """Make a new secret, shown once. For a day deliveries are signed by the one before as well."""
    which = id_of(webhook_id)
    secret = await hooks.rotate_secret(which)
    return JSONResponse({**shown(await hooks.find(which)), "secret": secret}, headers=NO_STORE)


@router.post(
    "/webhooks/{webhook_id}/test",
    status_code=202,
    responses=shaped(Delivery, 202) | refusals("NOT_FOUND", "WEBHOOK_DISABLED"),
)
async def test_webhook(webhook_id: str, hooks: TheWebhooks) -> JSONResponse:
    """Have an event of the type `webhook.test` sent."""
    which = id_of(webhook_id)
    return await _delivery(hooks, which, await hooks.test(which))


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    responses=shaped(DeliveryList)
    | conditional.UNCHANGED
    | refusals("NOT_FOUND", "PAGE_TOKEN_INVALID"),
    openapi_extra=conditional.ASKED,
)
async def list_deliveries(
    webhook_id: str,
    request: Request,
    owner: TheOwner,
    hooks: TheWebhooks,
    *,
    page_size: paging.PageSize = paging.DEFAULT_PAGE_SIZE,
    page_token: str = "",
) -> Response:
    """The log: what was or will be sent, newest first, each with its latest attempts."""
    which, size = id_of(webhook_id), paging.page_size(page_size)
    listing = ["deliveries", str(owner), str(which)]
    place = _place(paging.place(listing, page_token))
    webhook = await hooks.find(which)
    rows = await hooks.read_log(which, limit=size + 1, place=place)
    token = ""
    if len(rows) > size:
        last = rows[size - 1]
        token = paging.token(
            listing, [TIME.dump_python(last["created_at"], mode="json"), str(last["id"])]
        )
    body = {
        "deliveries": [shown_delivery(webhook, row) for row in rows[:size]],
        "next_page_token": token,
    }
    return conditional.answer(request, body)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    responses=shaped(Delivery, 202) | refusals("NOT_FOUND", "WEBHOOK_DISABLED"),
)
async def replay_delivery(webhook_id: str, delivery_id: str, hooks: TheWebhooks) -> JSONResponse:
    """Have a delivery sent again under its id, whether it arrived or not."""
    which, delivery = id_of(webhook_id), id_of(delivery_id)
    await hooks.replay(which, delivery)
    return await _delivery(hooks, which, delivery)


# what is shown ---------------------------------------------------------------------------


def id_of(text: str) -> UUID:
    """The id in a path; what can't be an id is not found, like one that never was."""
    try:
        return UUID(text)
    except ValueError:
        raise webhooks.not_found() from None


def shown(row: Row) -> dict[str, Any]:
    """A webhook, from the row of `list_webhooks`."""
    reason = row["disabled_reason"]
    return {
        "id": str(row["id"]),
        "url": row["url"],
        "description": row["description"],
        "events": row["events"],
        "enabled": reason is None,
        "disabled": reason
        and {
            "reason": reason,
            "detail": f"{REASONS[reason]} {HOW_TO_ENABLE}",
            "at": status.shown_time(row["disabled_at"]),
        },
        "failing_since": status.shown_time(row["failing_since"]),
        "former_secrets_end_at": [status.shown_time(end) for end in row["former_secrets"]],
        "created_at": status.shown_time(row["created_at"]),
    }


def shown_delivery(webhook: Row, row: Row) -> dict[str, Any]:
    """A delivery of the log, from the row of `list_deliveries`."""
    attempts = [_attempt(attempt) for attempt in row["attempts"]]
    last = attempts[-1] if attempts else {"status_code": None, "error": None}
    waits = row["status"] == "waiting" and webhook["disabled_reason"] is None
    due = max(row["run_at"], webhook["paused_until"] or row["run_at"])
    return {
        "id": str(row["id"]),
        "event": row["event"],
        "document_id": row["document_id"] and str(row["document_id"]),
        "status": row["status"],
        "status_code": last["status_code"],
        "error": last["error"],
        "next_attempt_at": status.shown_time(due) if waits else None,
        "created_at": status.shown_time(row["created_at"]),
        "finished_at": status.shown_time(row["finished_at"]),
        "attempts": attempts,
    }


def _attempt(row: dict[str, Any]) -> dict[str, Any]:
    times = {
        name: row[name] and status.shown_time(datetime.fromisoformat(row[name]))
        for name in ("started_at", "ended_at")
    }
    return {**row, **times}


async def _delivery(hooks: TheWebhooks, webhook_id: UUID, delivery_id: UUID) -> JSONResponse:
    webhook = await hooks.find(webhook_id)
    row = await hooks.find_delivery(webhook_id, delivery_id)
    return JSONResponse(shown_delivery(webhook, row), 202, NO_STORE)


def _once_each(given: list[Event]) -> list[str]:
    return list(dict.fromkeys(given))


def _place(found: list[Any] | None) -> tuple[datetime, UUID] | None:
    if found is None:
        return None
    try:
        return PLACE.validate_python(tuple(found))
    except ValueError:
        raise paging.invalid() from None
