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
