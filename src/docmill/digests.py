"""Digests that a sender states of what it sends, computed on the way and compared at the end.

`Content-Digest` and `Repr-Digest` of RFC 9530, and the checksum of tus. An algorithm that is not
known here is passed over, as the RFC wants it; a digest that does not hold is refused, and then
nothing is kept.
"""

import base64
import hashlib
import re
from collections.abc import Iterable

from docmill.errors import Problem

ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}
TUS_ALGORITHMS = ("sha1", "sha256", "sha512")
# What the server would like to have, as an answer's `Want-Repr-Digest`.
WANTED = "sha-256=10, sha-512=1"

# One member of a structured field dictionary: `sha-256=:base64:`, parameters allowed.
MEMBER = re.compile(r"^\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):\s*(;.*)?$")


class Digests:
    """Some expected digests of one stream of bytes; none is fine, too."""

    def __init__(self, expected: Iterable[tuple[str, bytes]] = ()) -> None:
        self._expected = [(hashlib.new(name), digest) for name, digest in expected]

    def __bool__(self) -> bool:
        return bool(self._expected)

    def update(self, data: bytes) -> None:
        """Take some more bytes."""
        for computed, _ in self._expected:
            computed.update(data)

    def hold(self) -> bool:
        """Whether all that were stated are those of the bytes."""
        return all(computed.digest() == digest for computed, digest in self._expected)


def stated(headers: Iterable[str]) -> Digests:
    """The digests in the values of `Content-Digest` and `Repr-Digest`.

    Raises:
        Problem: DIGEST_INVALID.
    """
    members = [member for header in headers for member in header.split(",") if member.strip()]
    return Digests(
        (ALGORITHMS[name], digest) for name, digest in map(_member, members) if name in ALGORITHMS
    )


def refuse_mismatch(digests: Digests) -> None:
    """Do nothing where the stated digests hold.

    Raises:
        Problem: DIGEST_MISMATCH.
    """
    if not digests.hold():
        raise Problem(
            "DIGEST_MISMATCH",
            "What arrived is not what the stated digest is of. Nothing was stored; send it again.",
        )


def tus_checksum(header: str) -> Digests:
    """The digest in `Upload-Checksum`, as `sha1 base64`; none where the header is empty.

    Raises:
        Problem: DIGEST_INVALID.
    """
    if not header:
        return Digests()
    name, _, value = header.strip().partition(" ")
    if name not in TUS_ALGORITHMS:
        raise Problem("DIGEST_INVALID", f"Upload-Checksum takes {', '.join(TUS_ALGORITHMS)}.")
    return Digests([(name, _decoded(value, hashlib.new(name).digest_size))])


def as_field(sha256: bytes) -> str:
    """A digest as the value of `Repr-Digest`."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def _member(text: str) -> tuple[str, bytes]:
    match = MEMBER.match(text)
    if match is None:
        raise Problem("DIGEST_INVALID", "A digest is written as sha-256=:BASE64: (RFC 9530).")
    name = match[1]
    size = hashlib.new(ALGORITHMS[name]).digest_size if name in ALGORITHMS else None
    return name, _decoded(match[2], size)


def _decoded(value: str, size: int | None) -> bytes:
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError as error:  # binascii.Error, or the text is not ASCII
        raise Problem("DIGEST_INVALID", "The digest is not base64.") from error
    if size is not None and len(digest) != size:
        raise Problem("DIGEST_INVALID", f"The digest has {len(digest)} bytes, not {size}.")
    return digest
