"""Who asks, and what they may: owners, scopes, and what each request needs. Pure."""

from dataclasses import dataclass
from uuid import UUID, uuid5

# `tick` may start a slice of work and see nothing; `admin` sees and steers the whole service;
# `metrics` sees its counts and nothing else, for its key lies in the files of whatever asks.
SCOPES = ("upload", "read", "admin", "tick", "metrics")

# Everybody on this machine, where there is no authentication.
LOCAL_OWNER = UUID("00000000-0000-4000-8000-000000000001")
OWNERS = UUID("6f1d3f1e-5b0e-4d0c-9a0b-2f8d1c3a7e55")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Where one shows a key, and what watches the process.
PUBLIC_PATHS = frozenset({"/session", "/healthz", "/readyz"})
# The page's views, the same for everybody, and its files: they hold nothing of anybody's.
VIEWS = frozenset({"/", "/search", "/operator"})
VIEW_PREFIXES = ("/view/", "/page/")
UPLOADING_POSTS = frozenset({"/documents", "/upload-document-backend", "/uploads"})
# Reading by POST: the question is too long for a query string.
READING_POSTS = frozenset({"/search"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who showed who they are. `name` is for logs and audits, and no secret."""

    owner: UUID
    name: str
    scopes: frozenset[str]
    key_id: str | None = None


LOCAL = Identity(LOCAL_OWNER, "local", frozenset(SCOPES))


def owner_of(name: str) -> UUID:
    """The owner's id: a UUID as it is, any other name always the same one."""
    try:
        return UUID(name)
    except ValueError:
        return uuid5(OWNERS, name)


def scope_needed(method: str, path: str) -> str | None:
    """The scope that a request needs; None where anybody may ask."""
    if path in PUBLIC_PATHS or (method in SAFE_METHODS and is_of_page(path)):
        return None
    if path.startswith("/internal/"):
        return "tick"
    if path.startswith("/operator/"):
        return "admin"
    if path == "/metrics":
        return "metrics"
    if method in SAFE_METHODS and not path.startswith("/uploads"):
        return "read"
    return "read" if path in READING_POSTS else "upload"


def is_of_page(path: str) -> bool:
    """Whether there is a view or a file of the page."""
    return path in VIEWS or path.startswith(VIEW_PREFIXES)


def carries_file(method: str, path: str) -> bool:
    """Whether a request brings the bytes of a file."""
    if method == "PATCH":
        return path.startswith("/uploads/")
    return method == "POST" and path in UPLOADING_POSTS
