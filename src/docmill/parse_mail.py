"""Mails by kreuzberg, with the text of what is attached; attached PDFs by our own reader.

kreuzberg could read those too, with a library that it unpacks into a folder for everybody and runs
from there; the parser's process has no such folder.
"""

import email
import email.policy
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from typing import Any, BinaryIO

import kreuzberg

from docmill import filetype
from docmill.errors import Failure
from docmill.model import Notice, Page
from docmill.parse_office import MESSAGE_CHARACTERS, extract, told, whole
from docmill.parse_pdf import parse_pdf

NAMES_TOLD = 5


def parse_mail(file: BinaryIO, kind: str) -> Iterator[Page | Notice]:
    """A mail, with the text of what is attached below it."""
    result = extract(file, kind)
    attached = list(attachments(result))
    missing = missing_names(result, attached)
    if missing and kind == filetype.EML:
        attached += attached_pdfs(whole(file), set(missing))
        missing = missing_names(result, attached)
    parts = [result.content, *(f"# {name}\n\n{text}" for name, text in attached)]
    yield from told("\n\n".join(part.strip("\n") for part in parts))
    if missing:
        yield Notice("PARTS_SKIPPED", f"Attachments without readable text: {listed(missing)}.")


def attachments(result: kreuzberg.ExtractionResult) -> Iterator[tuple[str, str]]:
    """Name and text of each attachment that has text.

    A nested mail comes twice, read (`nested_message_0.eml`) and raw (`attachment_0`).
    """
    children: list[dict[str, Any]] = result.children or []
    for child in children:
        raw = re.fullmatch(r"attachment_\d+", child["path"])
        if raw or child["mime_type"].startswith("image/"):
            continue
        if text := child["result"].content.strip():
            yield child["path"], text


def missing_names(result: kreuzberg.ExtractionResult, attached: list[tuple[str, str]]) -> list[str]:
    """The attachments that the mail names and that gave no text."""
    found = {name for name, _ in attached}
    return [name for name in result.metadata.get("attachments") or [] if name not in found]


def attached_pdfs(mail: bytes, names: set[str]) -> Iterator[tuple[str, str]]:
    """Name and text of the PDFs among these attachments. None in a mail of a thousand levels."""
    with suppress(RecursionError):
        for part in email.message_from_bytes(mail, policy=email.policy.default).walk():
            name = part.get_filename() or ""
            if name in names and (text := pdf_text(part)):
                yield name, text


def pdf_text(part: Message) -> str:
    """The text of an attached PDF; empty where it is none or can't be read."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes) or not data.startswith(b"%PDF-"):
        return ""
    with suppress(Failure):
        pages = parse_pdf(io.BytesIO(data), 1, None)
        return "\n\n".join(page.text for page in pages if isinstance(page, Page)).strip()
    return ""


def listed(names: list[str]) -> str:
    """Some names, and how many there are besides."""
    more = len(names) - NAMES_TOLD
    told_names = ", ".join(name[:MESSAGE_CHARACTERS] for name in names[:NAMES_TOLD])
    return f"{told_names} and {more} more" if more > 0 else told_names
