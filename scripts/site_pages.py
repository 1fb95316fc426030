"""A hook of MkDocs: what the site has beside the pages in `docs`, and what it has not yet.

Recipes in `deploy` come along as they are, so that pages may link to them as in the repository.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# Pages that the plan in `mkdocs.yml` names ahead of their writing. Any other that is missing fails.
AHEAD = {
    *("supabase.md", "monitoring.md", "metrics.md", "backup.md", "upgrade.md"),
    *("postgres.md", "postgres-upgrade.md", "retention.md"),
}
DEPLOY = "deploy"
TO_ALL_RECIPES = re.compile(r"\[([^\]]+)\]\(\.\./deploy/?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out what is not there yet."""
    config.nav = written(config.nav, Path(config.docs_dir))
    return config


def written(plan: list[dict[str, Any]] | None, folder: Path) -> list[dict[str, Any]]:
    """The plan, without the pages ahead that are not in the folder."""
    return [
        {title: written(what, folder) if isinstance(what, list) else what}
        for entry in plan or []
        for title, what in entry.items()
        if isinstance(what, list) or what not in AHEAD or (folder / what).exists()
    ]


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
