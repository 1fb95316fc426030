"""What webhooks are told of documents. Written in the commit that ends a document, sent later."""

from collections.abc import Sequence
from typing import Literal, get_args
from uuid import UUID

from docmill.database import Statements, Sync

STATEMENTS = Statements("events")

# What a webhook can want, and what it wants if nothing is said.
Event = Literal["document.completed", "document.failed", "document.cancelled"]
EVENTS: tuple[Event, ...] = get_args(Event)
USUAL_EVENTS: tuple[Event, ...] = ("document.completed", "document.failed")
# Not of a document: an owner tries a webhook.
TEST = "webhook.test"


def announce_ends(connection: Sync, document_ids: Sequence[UUID]) -> None:
    """Note down for each webhook that wants to know how this transaction has ended documents."""
    connection.execute(STATEMENTS.announce_ends, {"document_ids": list(document_ids)})
