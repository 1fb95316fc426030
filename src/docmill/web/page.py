"""The page: static files out of the package, with a policy that lets nothing else run.

Files lie below a path that holds the hash of all of them, so browsers keep them for ever, and a new
version of one is fetched together with those it belongs to: no page ever runs a mixture. Modules
name each other relatively and know nothing of it.
"""

import gzip
from dataclasses import dataclass
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
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}
PACKED = frozenset({".html", ".css", ".js", ".json", ".svg"})
INDEX = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}
ASK_EACH_TIME = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"


@router.get("/", include_in_schema=False)
@router.get("/search", include_in_schema=False)
@router.get("/operator", include_in_schema=False)
@router.get("/view/{document_id}", include_in_schema=False)
async def index(request: Request) -> Response:
    """The page itself, the same for every view: its address says what it shows."""
    shown = _site().index
    headers = {**HEADERS, "Cache-Control": ASK_EACH_TIME, "ETag": shown.tag}
    if conditional.matches(request, shown.tag):
        return Response(status_code=304, headers=headers)
    return _answer(request, shown, headers)


@router.get("/page/{version}/{name}", include_in_schema=False)
async def file(version: str, name: str, request: Request) -> Response:
    """One of its modules, styles or catalogues, of the version that the page was made with."""
    site = _site()
    if version != site.version or name not in site.files:
        raise Problem("NOT_FOUND", "There is no such file.")
    return _answer(request, site.files[name], {**HEADERS, "Cache-Control": FOR_EVER})


def _answer(request: Request, file: "File", headers: dict[str, str]) -> Response:
    content = file.content
    if file.packed and conditional.takes_gzip(request):
        content, headers = file.packed, {**headers, "Content-Encoding": "gzip"}
    return Response(content, 200, headers, file.media_type)


# what there is ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent; `packed` is empty where packing saves nothing."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "File":
        """The file of this name."""
        suffix = name[name.rindex(".") :]
        packed = gzip.compress(content, mtime=0) if suffix in PACKED else b""
        return cls(content, packed, TYPES[suffix], f'"{sha256(content).hexdigest()[:20]}"')


@dataclass(frozen=True, slots=True)
class Site:
    """All files of the page by name: a name is looked up and never used as a path."""

    version: str
    index: File
    files: dict[str, File]


@cache
def _site() -> Site:
    package = files("docmill")
    found = {
        file.name: file.read_bytes()
        for folder in (package.joinpath("web", "page"), package.joinpath("sample"))
        for file in folder.iterdir()
        if file.name.endswith(tuple(TYPES))
    }
    index = found.pop(INDEX).decode()
    version = version_of({**found, INDEX: index.encode()})
    page = index.replace("{version}", version).replace("{modules}", _preloads(version, found))
    return Site(
        version,
        File.of(INDEX, page.encode()),
        {name: File.of(name, content) for name, content in found.items()},
    )


def version_of(contents: dict[str, bytes]) -> str:
    """A hash of all files: another one when a byte of one of them is another."""
    parts = (f"{name} {sha256(contents[name]).hexdigest()}\n" for name in sorted(contents))
    return sha256("".join(parts).encode()).hexdigest()[:16]


def _preloads(version: str, found: dict[str, bytes]) -> str:
    """Tell the browser of every module at once, instead of one behind the other."""
    modules = sorted(name for name in found if name.endswith(".js"))
    return "\n    ".join(
        f'<link rel="modulepreload" href="/page/{version}/{name}">' for name in modules
    )
