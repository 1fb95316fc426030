"""An identity provider as Supabase is one: it signs tokens and shows its public keys over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://project.example/auth/v1"
AUDIENCE = "authenticated"
SECRET = "a shared secret of more than thirty-two bytes"


class Provider:
    """Keys by their `kid`; `asked` counts how often the public ones were fetched."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "elliptic": ec.generate_private_key(ec.SECP256R1()),
            "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        }
        self.asked = 0
        self.url = ""

    def token(
        self, subject: str, kid: str | None = "elliptic", *, secret: str = SECRET, **claims: Any
    ) -> str:
        """A token for a user; without a `kid` it is signed with the shared secret.

        A claim that is None is left out.
        """
        payload = {
            "sub": subject,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "role": "authenticated",
            "exp": int(time.time()) + 600,
            **claims,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        if kid is None:
            return jwt.encode(payload, secret, "HS256")
        algorithm = "ES256" if kid == "elliptic" else "RS256"
        return jwt.encode(payload, self.keys[kid], algorithm, headers={"kid": kid})

    def jwks(self) -> dict[str, Any]:
        """The public keys, and one of a kind that must not be believed."""
        shapes = [
            {**to_jwk(key), "kid": kid, "use": "sig", "alg": algorithm}
            for (kid, key), to_jwk, algorithm in zip(
                self.keys.items(), (_elliptic, _rsa), ("ES256", "RS256"), strict=True
            )
        ]
        shared = {
            "kty": "oct",
            "kid": "shared",
            "alg": "HS256",
            "k": "c2VjcmV0LXRoYXQtaXMtcHVibGlj",
        }
        return {"keys": [*shapes, shared]}


def _elliptic(key: Any) -> dict[str, Any]:
    return dict(ECAlgorithm.to_jwk(key.public_key(), as_dict=True))


def _rsa(key: Any) -> dict[str, Any]:
    return dict(RSAAlgorithm.to_jwk(key.public_key(), as_dict=True))


@contextmanager
def running() -> Iterator[Provider]:
    """A provider whose public keys are at `provider.url`."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked += 1
            body = json.dumps(provider.jwks()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.url = f"http://127.0.0.1:{server.server_address[1]}/jwks.json"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
