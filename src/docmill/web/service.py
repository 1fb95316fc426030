"""What the routes share: settings, database, embedder, and who is asking."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from docmill.accepting import Limits
from docmill.config import Settings
from docmill.control import Control
from docmill.database import ApiDatabase
from docmill.embed import Embedder
from docmill.errors import Problem
from docmill.operations import Operations
from docmill.uploads import Uploads
from docmill.watch import VersionWatch

# Everybody on this machine, as long as there are no other owners (`AUTH` is `none`).
LOCAL_OWNER = UUID("00000000-0000-4000-8000-000000000001")


@dataclass(frozen=True, slots=True)
class Service:
    """One API process."""

    settings: Settings
    database: ApiDatabase
    embedder: Embedder
    watch: VersionWatch
    limits: Limits
    uploads: Uploads


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _owner() -> UUID:
    return LOCAL_OWNER


TheService = Annotated[Service, Depends(_service)]
TheOwner = Annotated[UUID, Depends(_owner)]


def _control(service: TheService, owner: TheOwner) -> Control:
    return Control(service.database, owner)


TheControl = Annotated[Control, Depends(_control)]


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may see the whole service; `name` is what the log of acts says."""

    name: str
    may_act: bool


def _operator(service: TheService) -> Operator:
    """Who asks, as an operator. The one place where that is decided."""
    allowed = service.settings.operator
    if allowed == "off":
        raise Problem("OPERATOR_REQUIRED", "DOCMILL_OPERATOR is `off` on this server.")
    return Operator("local", may_act=allowed == "act")


TheOperator = Annotated[Operator, Depends(_operator)]


def _operations(service: TheService, owner: TheOwner, operator: TheOperator) -> Operations:
    if not operator.may_act:
        raise Problem("OPERATOR_REQUIRED", "You may look, but not act: DOCMILL_OPERATOR is `read`.")
    return Operations(service.database, operator.name, owner)


TheOperations = Annotated[Operations, Depends(_operations)]
