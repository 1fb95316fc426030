"""A hook of MkDocs: pages that the plan of `mkdocs.yml` names ahead of their writing.

A page that is missing else fails `make check`. What is named here may be missing, and is left out.
"""

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig

AHEAD = {
    *("supabase.md", "monitoring.md", "metrics.md", "backup.md", "upgrade.md"),
    "postgres-upgrade.md",
}


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
