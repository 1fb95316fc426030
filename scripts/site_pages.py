"""A hook of MkDocs: what the site has beside the pages in `docs`.

Recipes in `deploy` come along as they are, so that pages may link to them as in the repository.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

DEPLOY = "deploy"
TO_ALL_RECIPES = re.compile(r"\[([^\]]+)\]\(\.\./deploy/?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the recipes along."""
    root = Path(config.docs_dir).parent
    for path in sorted((root / DEPLOY).rglob("*")):
        if path.is_file():
            uri = path.relative_to(root).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to recipes lead to those of the site; to the folder itself there is no page."""
    return TO_ALL_RECIPES.sub(r"\1", markdown).replace("](../deploy/", "](deploy/")
