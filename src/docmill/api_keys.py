"""API keys: made once and shown once, kept as a hash, checked in constant time.

A key is `dm_ID_SECRET`: the id finds the row, the secret (256 random bits) is compared by its
SHA-256. The prefix lets scanners of leaked secrets recognise one.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from docmill.database import Row, Statements, Sync
from docmill.identity import owner_of

STATEMENTS = Statements("api_keys")

KEY = re.compile(r"^dm_(?P<id>[a-z2-7]{16})_(?P<secret>[A-Za-z0-9_-]{43})$")
ID_BYTES = 10
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: the only moment at which it can be seen."""

    id: str
    text: str


def create(
    connection: Sync, owner: str, label: str, scopes: Sequence[str], lasts: timedelta | None
) -> NewKey:
    """Make a key for an owner, named freely or by a UUID. `connection` is the admin's."""
    key_id = base64.b32encode(secrets.token_bytes(ID_BYTES)).decode().lower()
    secret = secrets.token_urlsafe(SECRET_BYTES)
    connection.execute(
        STATEMENTS.create,
        {
            "id": key_id,
            "owner_id": owner_of(owner),
            "owner_name": owner,
            "label": label,
            "secret_sha256": hashed(secret),
            "scopes": list(scopes),
            "seconds": lasts.total_seconds() if lasts else None,
        },
    )
    return NewKey(key_id, f"dm_{key_id}_{secret}")


def list_keys(connection: Sync) -> list[Row]:
    """Every key with its use, newest first; nothing of its secret."""
    return connection.execute(STATEMENTS.list_keys).fetchall()


def revoke(connection: Sync, key_id: str) -> bool:
    """End a key; False where there is none that could be ended."""
    return connection.execute(STATEMENTS.revoke, {"id": key_id}).fetchone() is not None


def parts(text: str) -> tuple[str, str] | None:
    """Id and secret of what is shown as a key; None where it can't be one."""
    match = KEY.match(text)
    return (match["id"], match["secret"]) if match else None


def is_secret(secret: str, secret_sha256: bytes) -> bool:
    """Whether this is the secret, told in the same time however much of it is right."""
    return hmac.compare_digest(hashed(secret), secret_sha256)


def hashed(secret: str) -> bytes:
    """A secret as it is kept."""
    return hashlib.sha256(secret.encode()).digest()
