"""What a sender says about a file, however it is sent: form fields, a query, or tus metadata."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from docmill import filename, storable
from docmill.accepting import NewDocument
from docmill.duplicates import ON_DUPLICATE
from docmill.errors import Problem
from docmill.lifecycle import PRIORITIES

LONGEST_NAME = 200
LONGEST_FIELD = 64 * 1024
LONGEST_SHOWN = 50

# For the description of the API; `new_document` reads them.
SCHEMA: dict[str, dict[str, Any]] = {
    "collection": {"type": "string", "maxLength": LONGEST_NAME, "pattern": "^[^\\x00]*$"},
    "external_id": {"type": "string", "maxLength": LONGEST_NAME, "pattern": "^[^\\x00]*$"},
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
    """A field's text.

    Raises:
        Problem: FIELD_INVALID.
    """
    refuse_longer(name, len(value))
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Problem("FIELD_INVALID", f"The field {shown(name)} is not UTF-8.") from error


def shown(name: str) -> str:
    """A field's name as a sentence has it: a name may be of any length."""
    return repr(name[:LONGEST_SHOWN])


def refuse_longer(name: str, size: int) -> None:
    """Do nothing where so many bytes are no more than a field may have.

    Raises:
        Problem: FIELD_INVALID.
    """
    if size > LONGEST_FIELD:
        raise Problem("FIELD_INVALID", f"The field {shown(name)} is longer than {LONGEST_FIELD:,}.")


def _short_text(fields: Mapping[str, str], name: str) -> str | None:
    value = fields.get(name) or None
    if value is not None and (len(value) > LONGEST_NAME or not storable.is_text(value)):
        raise Problem(
            "FIELD_INVALID",
            f"The field {name!r} takes a text of up to {LONGEST_NAME} characters without NUL.",
        )
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
    return storable_object("metadata", value)


def storable_object(name: str, value: Any) -> dict[str, Any]:
    """The value, if it is an object that the database keeps as it is.

    Raises:
        Problem: FIELD_INVALID.
    """
    if not isinstance(value, dict) or not storable.is_json(value):
        raise Problem(
            "FIELD_INVALID",
            f'The field {name!r} takes a JSON object: {{"a": 1}}, without NUL, NaN and broken'
            f" characters, and no more than {storable.MOST_DEPTH} deep.",
        )
    return value
