"""Code that stands in the documentation, for tests that run it."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(
    r"^```(?P<language>\w+)(?P<about>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
TITLE = re.compile(r'title="([^"]+)"')


def titled(page: str) -> dict[str, str]:
    """The blocks of a page that have a title, by it."""
    return {
        title[1]: found["code"]
        for found in blocks(page)
        if (title := TITLE.search(found["about"])) is not None
    }


def blocks(page: str) -> list[re.Match[str]]:
    """The blocks of a page, in their order, with `language`, `about` and `code`."""
    return list(BLOCK.finditer((DOCS / page).read_text(encoding="utf-8")))
