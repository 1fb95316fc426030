"""Lists: documents filtered and sorted, some documents by their ids, collections."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, Field, TypeAdapter

from docmill import listing, status
from docmill.database import Async, Statements
from docmill.errors import Problem
from docmill.lifecycle import DOCUMENT_STATES
from docmill.listing import Filter
from docmill.web import conditional, paging
from docmill.web.description import refusals, shaped
from docmill.web.service import TheOwner, TheService
from docmill.web.shapes import CollectionList, DocumentList

router = APIRouter()

WORKERS = Statements("workers")
STAGE_LIMITS = Statements("stage_limits")
MOST_IDS = 100
LONGEST_TEXT = 255
# The key in a page token, as it is read back: by the type that listing.py sorts by.
KEY_TYPES: dict[str, TypeAdapter[Any]] = {
    "created_at": TypeAdapter(AwareDatetime),
    "filename": TypeAdapter(str),
    "size": TypeAdapter(Annotated[int, Field(ge=0, le=2**63 - 1)]),
}


@router.get(
    "/documents",
    responses=shaped(DocumentList) | conditional.UNCHANGED | refusals("PAGE_TOKEN_INVALID"),
    openapi_extra=conditional.ASKED,
)
async def list_documents(
    request: Request,
    service: TheService,
    owner: TheOwner,
    *,
    page_size: paging.PageSize = paging.DEFAULT_PAGE_SIZE,
    page_token: str = "",
    in_status: Annotated[
        list[str] | None, Query(alias="status", description="one or several, repeated or by commas")
    ] = None,
    collection: str | None = None,
    text: Annotated[
        str | None, Query(alias="q", description="part of the file name, or a whole id")
    ] = None,
    sort: Annotated[str, Query(description="a key; with - before it, falling")] = (
        listing.NEWEST_FIRST
    ),
    ids: Annotated[str | None, Query(description="up to 100 ids, separated by commas")] = None,
    summary: Annotated[bool, Query(description="whether counts per state are added")] = False,
) -> Response:
    """Documents as their statuses; with `ids` exactly those that are there."""
    wanted = Filter(known_statuses(in_status or []), known_text(collection), known_text(text))
    async with service.database.reading(owner) as connection:
        if ids is not None:
            shown, token = await _some(connection, ids), ""
        else:
            place = Place(["documents", str(owner)], wanted, known_sort(sort))
            shown, token = await _page(connection, place, paging.page_size(page_size), page_token)
        body: dict[str, Any] = {"documents": shown, "next_page_token": token}
        if summary:
            body["summary"] = await _summary(connection, wanted, service.settings.lease_seconds)
    return conditional.answer(request, body, _ask_again(shown))


@router.get(
    "/collections",
    responses=shaped(CollectionList) | conditional.UNCHANGED | refusals("PAGE_TOKEN_INVALID"),
    openapi_extra=conditional.ASKED,
)
async def list_collections(
    request: Request,
    service: TheService,
    owner: TheOwner,
    *,
    page_size: paging.PageSize = paging.DEFAULT_PAGE_SIZE,
    page_token: str = "",
) -> Response:
    """Collections by name, each with the number of its documents."""
    size, of = paging.page_size(page_size), ["collections", str(owner)]
    place = paging.place(of, page_token)
    async with service.database.reading(owner) as connection:
        rows = await listing.list_collections(
            connection, after=None if place is None else _name(place), limit=size + 1
        )
    token = paging.token(of, [rows[size - 1]["name"]]) if len(rows) > size else ""
    body = {"collections": [dict(row) for row in rows[:size]], "next_page_token": token}
    return conditional.answer(request, body)


# what is asked for -----------------------------------------------------------------------


def known_statuses(given: Sequence[str]) -> tuple[str, ...]:
    """The states to filter by, in their own order; each as it is spelt."""
    names = {name for text in given for name in text.split(",") if name}
    if unknown := names - set(DOCUMENT_STATES):
        raise Problem(
            "FIELD_INVALID",
            f"status takes {', '.join(DOCUMENT_STATES)}, and not {min(unknown)[:50]!r}.",
        )
    return tuple(state for state in DOCUMENT_STATES if state in names)


def known_text(given: str | None) -> str | None:
    """A text to filter by; PostgreSQL knows no NUL, and no name is longer."""
    if given is not None and ("\0" in given or len(given) > LONGEST_TEXT):
        raise Problem("FIELD_INVALID", f"q and collection take {LONGEST_TEXT} characters.")
    return given or None


def known_sort(name: str) -> str:
    """What to sort by, as it is spelt."""
    if name not in listing.SORTS:
        raise Problem("FIELD_INVALID", f"sort takes one of {', '.join(listing.SORTS)}.")
    return name


# pages -----------------------------------------------------------------------------------


class Place:
    """Where a page of a list begins, and the token of where the next one does."""

    def __init__(self, of: list[Any], wanted: Filter, sort: str) -> None:
        self.wanted = wanted
        self.sort = sort
        self._listing = [*of, list(wanted.statuses), wanted.collection, wanted.text, sort]
        self._type = KEY_TYPES[sort.removeprefix("-")]

    def read(self, token: str) -> tuple[Any, UUID] | None:
        """The key and id behind which the page begins; None for the beginning."""
        place = paging.place(self._listing, token)
        if place is None:
            return None
        try:
            key, document_id = place
            return self._type.validate_python(key), UUID(document_id)
        except (ValueError, TypeError, AttributeError):
            raise paging.invalid() from None

    def token(self, key: Any, document_id: UUID) -> str:
        """The token for the page behind this row."""
        return paging.token(
            self._listing, [self._type.dump_python(key, mode="json"), str(document_id)]
        )


async def _some(connection: Async, ids: str) -> list[dict[str, Any]]:
    wanted = []
    for text in filter(None, ids.split(",")):
        try:
            wanted.append(UUID(text.strip()))
        except ValueError:
            raise Problem("FIELD_INVALID", f"{text[:50]!r} is no document id.") from None
    if len(wanted) > MOST_IDS:
        raise Problem("FIELD_INVALID", f"ids takes {MOST_IDS} ids; ask in several requests.")
    return await status.read(connection, wanted)


async def _page(
    connection: Async, place: Place, size: int, page_token: str
) -> tuple[list[dict[str, Any]], str]:
    rows = await listing.list_ids(
        connection, place.wanted, place.sort, limit=size + 1, place=place.read(page_token)
    )
    ids = [row["id"] for row in rows[:size]]
    order = {str(document_id): at for at, document_id in enumerate(ids)}
    shown = await status.read(connection, ids)
    shown.sort(key=lambda document: order[document["document_id"]])
    if len(rows) <= size:
        return shown, ""
    return shown, place.token(rows[size - 1]["key"], rows[size - 1]["id"])


def _name(place: list[Any]) -> str:
    if len(place) != 1 or not isinstance(place[0], str):
        raise paging.invalid()
    return place[0]


async def _summary(connection: Async, wanted: Filter, lease_seconds: float) -> dict[str, Any]:
    """How the list stands as a whole, and whether anybody works on it."""
    counts = await listing.count(connection, wanted)
    cursor = await connection.execute(WORKERS.live, {"lease": lease_seconds})
    row = await cursor.fetchone()
    cursor = await connection.execute(STAGE_LIMITS.paused)
    paused = [row["stage"] for row in await cursor.fetchall()]
    return {"counts": counts, "live_workers": row["live"] if row else 0, "paused": paused}


def _ask_again(shown: list[dict[str, Any]]) -> dict[str, str]:
    """When to ask again: as soon as the youngest unfinished document should be asked about."""
    now = datetime.now(UTC)
    pauses = [
        status.ask_again_seconds(document["created_at"], now)
        for document in shown
        if not document["done"]
    ]
    return {"Retry-After": str(min(pauses))} if pauses else {}
