"""`Idempotency-Key`: a request that is sent again, because its answer was lost, is done once.

After draft-ietf-httpapi-idempotency-key-header-07. The key's row is finished in the transaction
that does what was asked, with the answer; whoever sends the same again gets that answer.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from docmill.database import ApiDatabase, Async, Statements, one
from docmill.errors import Problem

STATEMENTS = Statements("idempotency")

KEY = re.compile(r'^"?(?P<key>[\x21\x23-\x7e]{1,255})"?$')
# A request that says nothing for so long has died with its server.
PATIENCE_SECONDS = 120.0
KEPT_SECONDS = 86_400.0
COME_BACK_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Finished:
    """What the first request with the key was answered, and what it had sent."""

    fingerprint: bytes
    status: int
    answer: dict[str, Any]

    def replayed(self, fingerprint: bytes) -> dict[str, Any]:
        """The answer, for the same request.

        Raises:
            Problem: IDEMPOTENCY_KEY_REUSED.
        """
        if fingerprint != self.fingerprint:
            raise Problem(
                "IDEMPOTENCY_KEY_REUSED",
                "Another file, or other fields, were sent with this Idempotency-Key before. Use a"
                " new key for a new request.",
            )
        return self.answer


class Running:
    """The first request with its key, as long as it runs."""

    def __init__(self, database: ApiDatabase, owner: UUID, key: str, token: UUID) -> None:
        self._database = database
        self._owner = owner
        self._which = {"key": key, "token": token}

    async def renew(self, connection: Async) -> None:
        """Say that the request still runs, in a transaction that keeps some of what it sends.

        Raises:
            Problem: IDEMPOTENCY_KEY_IN_USE, it was taken for dead and somebody has the key now.
        """
        given = {**self._which, "patience": PATIENCE_SECONDS}
        if await one(connection, STATEMENTS.renew, given) is None:
            raise in_use(COME_BACK_SECONDS)

    async def finish(
        self, connection: Async, fingerprint: bytes, status: int, answer: dict[str, Any]
    ) -> None:
        """Keep the answer, in the transaction that does what was asked.

        Raises:
            Problem: IDEMPOTENCY_KEY_IN_USE, as above.
        """
        row = await one(
            connection,
            STATEMENTS.finish,
            {
                **self._which,
                "fingerprint": fingerprint,
                "status": status,
                "answer": Jsonb(answer),
                "kept": KEPT_SECONDS,
            },
        )
        if row is None:
            raise in_use(COME_BACK_SECONDS)

    async def forget(self) -> None:
        """The request was refused: the key is free again."""
        async with self._database.commit(self._owner, "forget_key") as connection:
            await connection.execute(STATEMENTS.forget, self._which)


async def begin(database: ApiDatabase, owner: UUID, header: str) -> Running | Finished:
    """Take a request's key, or find what became of the request that had it before.

    Raises:
        Problem: IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_IN_USE.
    """
    key = _key(header)
    async with database.commit(owner, "begin_key") as connection:
        taken = await one(connection, STATEMENTS.begin, {"key": key, "patience": PATIENCE_SECONDS})
        if taken is not None:
            return Running(database, owner, key, taken["token"])
        row = await one(connection, STATEMENTS.find, {"key": key})
    if row is None or row["fingerprint"] is None:
        raise in_use(COME_BACK_SECONDS)
    return Finished(bytes(row["fingerprint"]), row["status"], row["answer"])


def fingerprint(sha256: bytes, said: dict[str, Any]) -> bytes:
    """What tells whether two requests are the same: the file's bytes, its name and the fields."""
    content = json.dumps([sha256.hex(), said], sort_keys=True)
    return hashlib.sha256(content.encode()).digest()


def in_use(seconds: int) -> Problem:
    """The refusal of a key whose first request still runs."""
    return Problem(
        "IDEMPOTENCY_KEY_IN_USE",
        "The first request with this Idempotency-Key still runs. Ask again for its answer.",
        retry_after=seconds,
    )


def _key(header: str) -> str:
    match = KEY.match(header.strip())
    if match is None:
        raise Problem(
            "IDEMPOTENCY_KEY_INVALID",
            "Idempotency-Key takes up to 255 visible ASCII characters; a random UUID does well.",
        )
    return match["key"]
