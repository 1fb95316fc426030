"""Bearer tokens of an identity provider (JWT, as Supabase issues them): who they are of.

Each key carries its own algorithm: the token's `kid` picks the key, and the key says how it signs.
So a token can't choose a weaker way, or have a public key taken for a shared secret. Keys come from
the provider's JWKS; they are kept for a while, and longer while the provider is away. An unknown
`kid` makes it asked again, but not more often than every half minute.
"""

import asyncio
import json
import logging
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2
import jwt
from jwt import PyJWK

from docmill.errors import Problem
from docmill.identity import SCOPES, Identity

log = logging.getLogger(__name__)

LONGEST_TOKEN = 8 * 1024
LEEWAY_SECONDS = 30
ROLE = "authenticated"
USUAL_SCOPES = frozenset({"upload", "read"})
# What a provider's keys may sign with; a JWKS that names anything else is not believed.
PUBLIC_ALGORITHMS = frozenset({"ES256", "ES384", "RS256", "RS384", "RS512", "EdDSA"})
FETCH_AGAIN_SECONDS = 600.0
FETCH_AFTER_UNKNOWN_SECONDS = 30.0
STALE_SECONDS = 86_400.0
FETCH_TIMEOUT_SECONDS = 5.0
LARGEST_JWKS = 256 * 1024


@dataclass(frozen=True, slots=True)
class Provider:
    """Whose tokens are taken: by a shared secret, by the provider's public keys, or both."""

    issuer: str
    audience: str
    secret: str | None = None
    jwks_url: str | None = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key, and the one algorithm that it signs by."""

    algorithm: str
    key: Any


@dataclass(slots=True)
class KeySet:
    """The provider's public keys as they were last fetched; times are monotonic."""

    keys: dict[str, SigningKey] = field(default_factory=dict)
    fetched: float = float("-inf")
    tried: float = float("-inf")


class JwtVerifier:
    """Checks tokens of one provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._known = KeySet()
        self._fetching = asyncio.Lock()
        self._http = httpx2.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def identify(self, token: str) -> Identity:
        """Who a token is of.

        Raises:
            Problem: NOT_AUTHENTICATED, in one sentence that does not help to forge one.
        """
        if len(token) > LONGEST_TOKEN:
            raise _refused("it is too long")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = await self._key(kid if isinstance(kid, str) else None)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._provider.issuer,
                audience=self._provider.audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refused("it has expired") from error
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _refused("it is not one of this service's") from error
        return _identity(claims)

    async def _key(self, kid: str | None) -> SigningKey:
        """The key that a token says it is signed by."""
        public = kid is not None and self._provider.jwks_url is not None
        if public and (key := await self._public_key(kid or "")):
            return key
        if self._provider.secret is not None:
            return SigningKey("HS256", self._provider.secret)
        raise _refused("its key is unknown")

    async def _public_key(self, kid: str) -> SigningKey | None:
        now = time.monotonic()
        if now - self._known.fetched > FETCH_AGAIN_SECONDS:
            await self._fetch()
        if kid not in self._known.keys:
            await self._fetch()
        if now - self._known.fetched > STALE_SECONDS:
            return None
        return self._known.keys.get(kid)

    async def _fetch(self) -> None:
        """Get the provider's keys, unless that was tried a moment ago."""
        async with self._fetching:
            if time.monotonic() - self._known.tried < FETCH_AFTER_UNKNOWN_SECONDS:
                return
            self._known.tried = time.monotonic()
            try:
                answer = await self._http.get(self._provider.jwks_url or "")
                answer.raise_for_status()
                self._known.keys = signing_keys(json.loads(answer.content[:LARGEST_JWKS]))
                self._known.fetched = time.monotonic()
            except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
                log.warning("the identity provider's keys can't be fetched: %s", error)


def signing_keys(jwks: Any) -> dict[str, SigningKey]:
    """The usable keys of a JWKS, by `kid`. Shared secrets in it are not believed."""
    found = {}
    for shape in jwks["keys"]:
        try:
            key = PyJWK.from_dict(shape)
        except jwt.PyJWTError:
            continue
        if key.key_id and key.algorithm_name in PUBLIC_ALGORITHMS:
            found[key.key_id] = SigningKey(key.algorithm_name, key.key)
    return found


def _identity(claims: dict[str, Any]) -> Identity:
    if claims.get("role") != ROLE:
        raise _refused(f"its role is not {ROLE!r}")
    try:
        owner = UUID(str(claims["sub"]))
    except ValueError as error:
        raise _refused("its subject is no UUID") from error
    return Identity(owner, f"user {owner}", _scopes(claims))


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """What the provider's administrators gave the user: `app_metadata` is theirs to write."""
    metadata = claims.get("app_metadata")
    given = metadata.get("docmill_scopes") if isinstance(metadata, dict) else None
    if not isinstance(given, list):
        return USUAL_SCOPES
    return frozenset(scope for scope in given if scope in SCOPES)


def _refused(reason: str) -> Problem:
    return Problem("NOT_AUTHENTICATED", f"The token is not taken: {reason}.")
