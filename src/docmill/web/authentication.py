"""Who asks: by an API key, a token of the identity provider, or a browser's session."""

import asyncio
import hashlib
import logging
import secrets
import time
from collections import Counter
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

import psycopg
from psycopg_pool import PoolTimeout
from starlette.datastructures import Headers

from docmill import api_keys
from docmill.config import Settings
from docmill.database import ApiDatabase, Row, one
from docmill.errors import Problem
from docmill.identity import LOCAL, Identity

if TYPE_CHECKING:
    from docmill.jwt_tokens import JwtVerifier, Provider

log = logging.getLogger(__name__)

STATEMENTS = api_keys.STATEMENTS

COOKIE = "docmill_session"
SESSION_SECONDS = 12 * 3600.0
# A key that is revoked is good for at most so long here.
REMEMBERED_SECONDS = 5.0
MOST_REMEMBERED = 10_000
NOTE_USES_SECONDS = 30.0


class Authenticator:
    """Tells who asks, for one API process."""

    def __init__(self, settings: Settings, database: ApiDatabase) -> None:
        self.kinds = settings.auth
        self.is_open = settings.is_open
        self._database = database
        self._tokens = verifier_of(settings) if "jwt" in settings.auth else None
        self._remembered: dict[str, tuple[float, Row | None]] = {}
        self._uses: Counter[str] = Counter()
        self._addresses: dict[str, str] = {}
        self._noted = time.monotonic()
        self._noting: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Note what was used, and close connections."""
        if self._noting is not None:
            await asyncio.gather(self._noting, return_exceptions=True)
        await self._note_uses()
        if self._tokens is not None:
            await self._tokens.close()

    async def identify(self, headers: Headers, address: str) -> Identity:
        """Who sends a request with these headers from this address.

        Raises:
            Problem: NOT_AUTHENTICATED.
        """
        if self.is_open:
            return LOCAL
        identity = await self._identify(headers)
        self._note(identity, address)
        return identity

    async def show(self, credential: str) -> Identity:
        """Whose a key or a token is, that was shown to open a session by.

        Raises:
            Problem: NOT_AUTHENTICATED.
        """
        if self.is_open:
            return LOCAL
        return await self._by_credential(credential)

    async def open_session(self, identity: Identity) -> str:
        """A browser's session; returns the cookie's value, which is kept as a hash only."""
        token = secrets.token_urlsafe(32)
        async with self._database.commit(identity.owner, "open_session") as connection:
            await connection.execute(
                STATEMENTS.open_session,
                {
                    "token": _hashed(token),
                    "owner_id": identity.owner,
                    "key_id": identity.key_id,
                    "name": identity.name,
                    "scopes": sorted(identity.scopes),
                    "seconds": SESSION_SECONDS,
                },
            )
        return token

    async def close_session(self, headers: Headers) -> None:
        """End the session of the request's cookie, if there is one."""
        if token := session_of(headers):
            async with self._database.commit(LOCAL.owner, "close_session") as connection:
                await connection.execute(STATEMENTS.close_session, {"token": _hashed(token)})

    async def _identify(self, headers: Headers) -> Identity:
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and credential:
            return await self._by_credential(credential.strip())
        if token := session_of(headers):
            return await self._by_session(token)
        raise refused("Send `Authorization: Bearer` with a key or a token.")

    async def _by_credential(self, credential: str) -> Identity:
        if parts := api_keys.parts(credential):
            if "keys" in self.kinds:
                return await self._by_key(*parts)
        elif self._tokens is not None:
            return await self._tokens.identify(credential)
        raise refused("That is no key or token of this service.")

    async def _by_key(self, key_id: str, secret: str) -> Identity:
        row = await self._find_key(key_id)
        if row is None or not api_keys.is_secret(secret, bytes(row["secret_sha256"])):
            raise refused("The key is unknown, expired or revoked.")
        return Identity(row["owner_id"], f"key {key_id}", frozenset(row["scopes"]), key_id)

    async def _find_key(self, key_id: str) -> Row | None:
        until, row = self._remembered.get(key_id, (0.0, None))
        if time.monotonic() < until:
            return row
        async with self._database.reading(None) as connection:
            row = await one(connection, STATEMENTS.find, {"id": key_id})
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key_id] = (time.monotonic() + REMEMBERED_SECONDS, row)
        return row

    async def _by_session(self, token: str) -> Identity:
        async with self._database.reading(None) as connection:
            row = await one(connection, STATEMENTS.find_session, {"token": _hashed(token)})
        if row is None:
            raise refused("The session has ended. Show your key again.")
        return Identity(row["owner_id"], row["name"], frozenset(row["scopes"]))

    # how keys are used -------------------------------------------------------------------

    def _note(self, identity: Identity, address: str) -> None:
        if identity.key_id is None:
            return
        self._uses[identity.key_id] += 1
        self._addresses[identity.key_id] = address
        if time.monotonic() - self._noted > NOTE_USES_SECONDS:
            self._noted = time.monotonic()
            self._noting = asyncio.create_task(self._note_uses())

    async def _note_uses(self) -> None:
        uses, self._uses = self._uses, Counter()
        if not uses:
            return
        given = {
            "ids": list(uses),
            "times": list(uses.values()),
            "addresses": [self._addresses.get(key, "") for key in uses],
        }
        try:
            async with self._database.commit(LOCAL.owner, "note_key_uses") as connection:
                await connection.execute(STATEMENTS.note_uses, given)
        except (psycopg.OperationalError, PoolTimeout) as error:
            self._uses.update(uses)
            log.debug("the use of keys is noted later: %s", error)


def verifier_of(settings: Settings) -> "JwtVerifier":
    """Reads tokens of the identity provider that the settings name."""
    # Its cryptography takes 13 MiB, which only those have to spend who take such tokens.
    from docmill.jwt_tokens import JwtVerifier  # noqa: PLC0415

    return JwtVerifier(provider_of(settings))


def provider_of(settings: Settings) -> "Provider":
    """The identity provider that the settings name."""
    from docmill.jwt_tokens import Provider  # noqa: PLC0415 - as above

    return Provider(
        issuer=settings.jwt_issuer or "",
        audience=settings.jwt_audience,
        secret=settings.jwt_secret,
        jwks_url=settings.jwks_url,
    )


def session_of(headers: Headers) -> str | None:
    """The value of the session's cookie."""
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return cookie.value if cookie else None


def refused(detail: str) -> Problem:
    """The refusal of somebody unknown."""
    return Problem("NOT_AUTHENTICATED", detail)


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
