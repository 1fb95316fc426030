"""The page: static files out of the package, with a policy that lets nothing else run."""

from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.responses import Response

from docmill.errors import Problem
from docmill.web import conditional

router = APIRouter()

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/", include_in_schema=False)
async def index(request: Request) -> Response:
    """The page itself."""
    return _file(request, "index.html")


@router.get("/page/{name}", include_in_schema=False)
async def module(name: str, request: Request) -> Response:
    """One of its modules or styles."""
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    if name not in _names():
        raise Problem("NOT_FOUND", "There is no such file.")
    content, tag = _read(name)
    headers = {**HEADERS, "ETag": tag}
    if conditional.matches(request, tag):
        return Response(status_code=304, headers=headers)
    suffix = name[name.rindex(".") :]
    return Response(content, 200, {**headers, "Content-Type": TYPES[suffix]})


@cache
def _names() -> frozenset[str]:
    """The files there are: a name is looked up here and never used as a path."""
    folder = files("docmill").joinpath("web", "page")
    return frozenset(file.name for file in folder.iterdir() if file.name.endswith(tuple(TYPES)))


@cache
def _read(name: str) -> tuple[bytes, str]:
    content = files("docmill").joinpath("web", "page", name).read_bytes()
    return content, f'"{sha256(content).hexdigest()[:20]}"'
