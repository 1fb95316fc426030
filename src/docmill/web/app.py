"""The application: routes, problems and the edge around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware

from docmill import __version__
from docmill.accepting import Limits
from docmill.asked_together import Statuses
from docmill.changes import Changes
from docmill.config import Settings
from docmill.database import ApiDatabase
from docmill.disk_reserve import DiskReserve
from docmill.embed import Embedder
from docmill.search import Search
from docmill.tick import Tick
from docmill.uploads import Uploads
from docmill.watch import VersionWatch
from docmill.web import (
    document_list,
    documents,
    events,
    health,
    metrics,
    operations,
    other_pages,
    page,
    problems,
    search,
    session,
    ticks,
    tus,
    upload,
    webhooks,
)
from docmill.web.authentication import Authenticator
from docmill.web.description import DescribedApp
from docmill.web.edge import Edge
from docmill.web.measured import Measured
from docmill.web.service import Service
from docmill.web.traced import Traced

# A request's route is looked for in this order: first come those that are asked all the time.
MODULES = (
    upload,
    search,
    document_list,
    events,  # before documents, one of which it could else be taken for
    documents,
    health,
    metrics,
    page,
    session,
    tus,
    operations,
    webhooks,
    ticks,
)

# `traced.py` makes the spans. FastAPI's own would be one and more for each poll of a status, and
# would say of requests what they ask for: names and searches in the query, the words of errors.
NOT_FASTAPIS: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def limits_of(settings: Settings) -> Limits:
    """What the settings allow. The disk is ours to look at with the embedded database only."""
    embedded = settings.database_url is None and settings.api_database_url is None
    disk = DiskReserve(settings.data_dir, settings.disk_reserve_bytes) if embedded else None
    return Limits(
        settings.max_upload_bytes, settings.owner_quota_bytes, settings.max_attempts, disk
    )


def name_of(route: APIRoute) -> str:
    """The operation's id in the description: the route's name, which no other has."""
    return route.name


def create_app(
    settings: Settings, database: ApiDatabase, embedder: Embedder, tick: Tick
) -> FastAPI:
    """The ASGI application over a database; it opens and closes the database's pool."""
    watch, changes = VersionWatch(database), Changes(database)
    authenticator = Authenticator(settings, database)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await database.open()
        yield
        await watch.close()
        await changes.close()
        await tick.close()
        await authenticator.close()
        await database.close()

    app = DescribedApp(
        is_open=settings.is_open,
        title="docmill",
        version=__version__,
        summary="Takes documents and makes them searchable in the background.",
        lifespan=lifespan,
        generate_unique_id_function=name_of,
        docs_url=None,  # its pages load scripts from another server
        redoc_url=None,
        telemetry=NOT_FASTAPIS,
        redirect_slashes=False,  # an address that is nearly right is not found, and leads nowhere
    )
    limits = limits_of(settings)
    uploads = Uploads(database, limits, settings.upload_expiry_seconds)
    app.state.service = Service(
        settings,
        database,
        embedder,
        Search(database, embedder.name),
        Statuses(database),
        watch,
        changes,
        limits,
        uploads,
        authenticator,
        tick,
    )
    problems.install(app, [route for module in MODULES for route in module.router.routes])
    for module in MODULES:
        app.include_router(module.router)
    app.add_middleware(Edge, settings=settings, authenticator=authenticator)
    app.add_middleware(Measured)  # around the edge: what that refuses is counted, too
    app.add_middleware(Traced)
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, **other_pages.policy(settings.allowed_origins))
    return app
