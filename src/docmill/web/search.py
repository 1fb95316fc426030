"""`POST /search`: the best passages for a query."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from docmill import search
from docmill.web.description import refusals, shaped
from docmill.web.service import TheOwner, TheService
from docmill.web.shapes import Hits
from docmill.web.upload_fields import storable_object

router = APIRouter()

Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=10_000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$"),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class SearchRequest(BaseModel):
    """What is searched for, how, and where."""

    model_config = ConfigDict(extra="forbid")

    query: Text
    limit: StrictInt = Field(10, ge=1, le=100)
    mode: Literal["hybrid", "vector", "text"] = "hybrid"
    collection: Name | None = None
    filters: dict[str, Any] = Field(
        default_factory=dict, description="what the document's metadata must contain"
    )


@router.post("/search", responses=shaped(Hits) | refusals("EMBEDDER_UNAVAILABLE"))
async def find(asked: SearchRequest, service: TheService, owner: TheOwner) -> JSONResponse:
    """Passages of documents that are complete, best first."""
    vector = None
    if asked.mode != "text":
        vectors = await asyncio.to_thread(service.embedder.embed, [asked.query])
        vector = vectors[0]
    query = search.Query(
        owner=owner,
        text=asked.query,
        mode=asked.mode,
        limit=asked.limit,
        collection=asked.collection,
        metadata=storable_object("filters", asked.filters),
        vector=vector,
    )
    async with service.database.reading(owner) as connection:
        model = await search.find_model(connection, service.embedder.name)
        hits = await search.search(connection, model, query)
    return JSONResponse({"hits": hits}, headers={"Cache-Control": "no-store"})
