"""`GET /documents/events`: changes as they are committed, as server-sent events. A hint only."""

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.sse import EventSourceResponse, ServerSentEvent

from docmill.web.service import TheOwner, TheService

router = APIRouter()

COME_AGAIN_MILLISECONDS = 3000


@router.get("/documents/events", response_class=EventSourceResponse)
async def events(service: TheService, owner: TheOwner) -> AsyncIterator[ServerSentEvent]:
    """First a `snapshot` of how documents stand, then a `changes` for what is new.

    Whoever was away begins with a snapshot again, so no id of an event is needed to catch up.
    """
    kind = "snapshot"
    async for news in service.changes.follow(owner):
        yield ServerSentEvent(event=kind, data={"documents": news}, retry=COME_AGAIN_MILLISECONDS)
        kind = "changes"
