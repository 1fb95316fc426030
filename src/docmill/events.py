"""What webhooks are told of documents. Written in the commit that ends a document, sent later."""

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


def announce_end(connection: Sync, document_id: UUID) -> None:
    """Note down for each webhook that wants to know how this transaction has ended the document."""
    connection.execute(STATEMENTS.announce_end, {"document_id": document_id})
