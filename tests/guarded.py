"""A docmill that asks who comes: by API keys and by tokens of an identity provider."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2

import identity_provider
from databases import fresh_database
from docmill import api_keys, database
from docmill.api_keys import NewKey
from docmill.database import API_ROLE, Sync
from docmill.identity import owner_of
from identity_provider import Provider
from running import PATIENCE_SECONDS, Docmill, until


class Somebody:
    """A client with a key of its own."""

    def __init__(self, docmill: Docmill, credential: str | None, owner: UUID | None) -> None:
        self.owner = owner
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        self.http = httpx2.Client(
            base_url=docmill.url, headers=headers, timeout=PATIENCE_SECONDS, follow_redirects=False
        )

    def upload(self, name: str, content: bytes, **fields: str) -> str:
        """Upload a file that must be accepted; the document's id."""
        answer = self.http.post("/documents", files={"file": (name, content)}, data=fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["document_id"])

    def completed(self, document_id: str) -> dict[str, Any]:
        """The document's status, as soon as it has ended well."""

        def look() -> dict[str, Any] | None:
            answer = self.http.get(f"/documents/{document_id}/status")
            assert answer.status_code == 200, answer.text
            status: dict[str, Any] = answer.json()
            return status if status["done"] else None

        status = until(look, f"{document_id} ends", stays=True)
        assert status["status"] == "completed", status
        return status


@dataclass(frozen=True)
class Guarded:
    """The served docmill, its database as a superuser sees it, and the provider it believes."""

    docmill: Docmill
    admin: Sync
    url: str
    provider: Provider
    _clients: contextlib.ExitStack

    def key(
        self,
        owner: str,
        scopes: Sequence[str] = ("upload", "read"),
        lasts: timedelta | None = None,
    ) -> NewKey:
        """A key as `docmill keys create` makes it."""
        return api_keys.create(self.admin, owner, "test", scopes, lasts)

    def somebody(self, *scopes: str, owner: str | None = None) -> Somebody:
        """A client with a new key; of a new owner, unless one is named."""
        owner = owner or f"owner {uuid4().hex}"
        made = self.key(owner, scopes or ("upload", "read"))
        return self.with_credential(made.text, owner_of(owner))

    def with_credential(self, credential: str | None, owner: UUID | None = None) -> Somebody:
        """A client that shows this, or nothing."""
        client = Somebody(self.docmill, credential, owner)
        self._clients.callback(client.http.close)
        return client


@contextlib.contextmanager
def guarded_docmill(
    admin_url: str,
    pooled: Callable[[str], str] | None = None,
    python: str = sys.executable,
    anew: bool = False,
    **env: str,
) -> Iterator[Guarded]:
    """A served docmill on a database of its own; `pooled` is where the API finds it instead."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(fresh_database(admin_url))
        provider = stack.enter_context(identity_provider.running())
        guarding = {
            "DOCMILL_DATABASE_URL": url,
            "DOCMILL_AUTH": "keys,jwt",
            "DOCMILL_JWT_ISSUER": identity_provider.ISSUER,
            "DOCMILL_JWT_SECRET": identity_provider.SECRET,
            "DOCMILL_JWKS_URL": provider.url,
            "DOCMILL_REQUESTS_PER_SECOND": "0",
            **(
                {"DOCMILL_API_DATABASE_URL": pooled(database.login_address(url, API_ROLE))}
                if pooled
                else {}
            ),
            **env,
        }
        docmill = Docmill(
            None, "--workers", "1", env=guarding, ready=False, python=python, anew=anew
        )
        stack.callback(docmill.stop)
        until(
            lambda: docmill.http.get("/readyz").status_code == 200, "docmill is ready", stays=True
        )
        admin = stack.enter_context(database.connect(url, autocommit=True))
        admin.execute("select set_config('search_path', 'docmill, extensions', false)")
        clients = stack.enter_context(contextlib.ExitStack())
        yield Guarded(docmill, admin, url, provider, clients)
