"""The reference pages say what the code says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from docmill.config import Settings
from docmill.web.app import MODULES

ROOT = Path(__file__).parent.parent.parent


def written() -> ModuleType:
    """The script that writes the pages, as a module."""
    spec = importlib.util.spec_from_file_location(
        "write_reference", ROOT / "scripts" / "write_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "states.md", "errors.md", "metrics.md"])
def test_a_reference_page_is_what_make_docs_writes(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == written().PAGES[name]()


def test_every_route_is_documented() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    paths = {
        re.sub(r"\{[a-z_]+(:path)?\}", "{}", route.path)
        for module in MODULES
        for route in module.router.routes
        if getattr(route, "include_in_schema", False)
    }
    described = {re.sub(r"\{[a-z_]+\}", "{}", path) for path in re.findall(r"/[a-z{}_/-]*", text)}
    assert paths, "no routes were found: this test looks in the wrong place"
    assert paths <= described


def test_a_changelog_and_a_licence_are_there() -> None:
    assert "## " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "MIT" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert Settings().auth == ("none",)
