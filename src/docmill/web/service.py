"""What the routes share: settings, database, embedder, and who is asking.

None of what is asked for here waits for anything, and all of it is `async` all the same: FastAPI
would have a thread do it otherwise, and handing over to it and back took a quarter of a status.
"""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from docmill.accepting import Limits
from docmill.asked_together import Statuses
from docmill.changes import Changes
from docmill.config import Settings
from docmill.control import Control
from docmill.database import ApiDatabase
from docmill.embed import Embedder
from docmill.errors import Problem
from docmill.identity import Identity
from docmill.operations import Operations
from docmill.outgoing import Reach
from docmill.search import Search
from docmill.tick import Tick
from docmill.uploads import Uploads
from docmill.watch import VersionWatch
from docmill.web.authentication import Authenticator
from docmill.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Service:
    """One API process."""

    settings: Settings
    database: ApiDatabase
    embedder: Embedder
    search: Search
    statuses: Statuses
    watch: VersionWatch
    changes: Changes
    limits: Limits
    uploads: Uploads
    authenticator: Authenticator
    tick: Tick


def service_of(request: Request) -> Service:
    """The process's service, for routes that are asked all the time.

    What FastAPI does for each dependency of a route is a fifteenth of a status.
    """
    service: Service = request.app.state.service
    return service


def owner_of(request: Request) -> UUID:
    """Who asks, for such routes."""
    return _identified(request).owner


async def _service(request: Request) -> Service:
    return service_of(request)


async def _identity(request: Request) -> Identity:
    return _identified(request)


def _identified(request: Request) -> Identity:
    """Who asks, as the edge found out; it lets nobody unknown come here."""
    identity: Identity | None = request.scope["state"]["identity"]
    if identity is None:
        raise AssertionError("a public route asks for an owner")
    return identity


TheService = Annotated[Service, Depends(_service)]
TheIdentity = Annotated[Identity, Depends(_identity)]


async def _owner(identity: TheIdentity) -> UUID:
    return identity.owner


TheOwner = Annotated[UUID, Depends(_owner)]


async def _control(service: TheService, owner: TheOwner) -> Control:
    return Control(service.database, owner)


TheControl = Annotated[Control, Depends(_control)]


async def _webhooks(service: TheService, owner: TheOwner) -> Webhooks:
    reach = Reach(private=service.settings.webhook_targets == "private")
    return Webhooks(service.database, owner, reach)


TheWebhooks = Annotated[Webhooks, Depends(_webhooks)]


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may see the whole service; `name` is what the log of acts says."""

    name: str
    may_act: bool


async def _operator(service: TheService, identity: TheIdentity) -> Operator:
    """Who asks, as an operator. The one place where that is decided.

    The edge has seen the scope `admin`, which is good for looking. To change something takes
    `upload` too, as everywhere.
    """
    allowed = service.settings.operator
    if allowed == "off":
        raise Problem("OPERATOR_REQUIRED", "DOCMILL_OPERATOR is `off` on this server.")
    return Operator(identity.name, may_act=allowed == "act" and "upload" in identity.scopes)


TheOperator = Annotated[Operator, Depends(_operator)]


async def _operations(service: TheService, owner: TheOwner, operator: TheOperator) -> Operations:
    if not operator.may_act:
        raise Problem(
            "OPERATOR_REQUIRED",
            "You may look, but not act: that takes the scopes `admin` and `upload`, and"
            " DOCMILL_OPERATOR=act.",
        )
    return Operations(service.database, operator.name, owner)


TheOperations = Annotated[Operations, Depends(_operations)]
