"""Secrets and signatures as Standard Webhooks has them, so that its libraries verify them."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> bytes:
    """A secret by chance."""
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """A secret as its owner gets it: `whsec_<base64>`."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(
    message_id: str, timestamp: int, body: bytes, keys: Iterable[bytes]
) -> Mapping[str, str]:
    """The headers of a delivery: its id, the time in Unix seconds, a signature for each secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [hmac.digest(key, signed, hashlib.sha256) for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }
