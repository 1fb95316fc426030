"""Places in a list, as opaque tokens that are bound to the list and its filters."""

import base64
import json
from typing import Annotated, Any

from fastapi import Query

from docmill import storable
from docmill.errors import Problem

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 200

PageSize = Annotated[int, Query(ge=1, description="lowered to 200")]


def page_size(asked: int) -> int:
    """How many rows a page has; a size that is too large is lowered, not refused."""
    return min(asked, LARGEST_PAGE_SIZE)


def token(listing: list[Any], place: list[Any]) -> str:
    """A token for the place behind which the next page begins.

    Args:
        listing: what the list is of: route, owner, filters. Tokens of other lists are refused.
        place: the sort key of the page's last row.
    """
    return base64.urlsafe_b64encode(json.dumps([listing, place]).encode()).decode().rstrip("=")


def place(listing: list[Any], given: str) -> list[Any] | None:
    """The place that a token stands for; None for the beginning.

    Raises:
        Problem: PAGE_TOKEN_INVALID.
    """
    if not given:
        return None
    try:
        padded = given + "=" * (-len(given) % 4)
        of, found = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, TypeError, RecursionError) as error:
        raise invalid() from error
    if of != listing or not isinstance(found, list) or not storable.is_json(found):
        raise invalid()
    return found


def invalid() -> Problem:
    """The refusal of a token that is not one of this list."""
    return Problem(
        "PAGE_TOKEN_INVALID",
        "Take next_page_token from the answer before, with the same filters, or leave it out.",
    )
