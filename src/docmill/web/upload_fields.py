"""What a sender says about a file, however it is sent: form fields, a query, or tus metadata."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from docmill import filename
from docmill.accepting import NewDocument
from docmill.duplicates import ON_DUPLICATE
from docmill.errors import Problem
from docmill.lifecycle import PRIORITIES

LONGEST_NAME = 200
LONGEST_FIELD = 64 * 1024

# For the description of the API; `new_document` reads them.
SCHEMA: dict[str, dict[str, Any]] = {
    "collection": {"type": "string", "maxLength": LONGEST_NAME},
    "external_id": {"type": "string", "maxLength": LONGEST_NAME},
    "metadata": {"type": "string", "description": "a JSON object"},
    "priority": {"type": "string", "enum": list(PRIORITIES)},
    "on_duplicate": {"type": "string", "enum": list(ON_DUPLICATE)},
}


def new_document(name: str, fields: Mapping[str, str]) -> NewDocument:
    """What is said in these fields about the file of that name; unknown fields are passed over.

    Raises:
        Problem: FIELD_INVALID, or one about the file's name.
    """
    return NewDocument(
        filename=filename.checked(name),
        collection=_short_text(fields, "collection"),
        external_id=_short_text(fields, "external_id"),
        metadata=_metadata(fields.get("metadata", "")),
        priority=_one_of(PRIORITIES, fields, "priority") or "normal",
        on_duplicate=_one_of(ON_DUPLICATE, fields, "on_duplicate"),
    )


def text_of(name: str, value: bytes) -> str:
    """A field's text; PostgreSQL keeps no NUL.

    Raises:
        Problem: FIELD_INVALID.
    """
    refuse_longer(name, len(value))
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise Problem("FIELD_INVALID", f"The field {name!r} is not UTF-8.") from error
    if "\0" in text:
        raise Problem("FIELD_INVALID", f"The field {name!r} has a NUL character.")
    return text


def refuse_longer(name: str, size: int) -> None:
    """Do nothing where so many bytes are no more than a field may have.

    Raises:
        Problem: FIELD_INVALID.
    """
    if size > LONGEST_FIELD:
        raise Problem("FIELD_INVALID", f"The field {name!r} is longer than {LONGEST_FIELD:,}.")


def _short_text(fields: Mapping[str, str], name: str) -> str | None:
    value = fields.get(name) or None
    if value is not None and len(value) > LONGEST_NAME:
        raise Problem("FIELD_INVALID", f"The field {name!r} takes {LONGEST_NAME} characters.")
    return value


def _one_of(words: Collection[str], fields: Mapping[str, str], name: str) -> str | None:
    value = fields.get(name) or None
    if value is not None and value not in words:
        raise Problem("FIELD_INVALID", f"The field {name!r} takes {', '.join(words)}.")
    return value


def _metadata(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or "\\u0000" in text:
        raise Problem("FIELD_INVALID", "The field 'metadata' takes a JSON object: {\"a\": 1}.")
    return value
