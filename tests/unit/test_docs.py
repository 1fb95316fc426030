"""The reference pages say what the code says."""

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from types import ModuleType

import click
import pytest
from psycopg.conninfo import make_conninfo

import markdown_code
from docmill.cli import COMMANDS, main
from docmill.config import Settings
from docmill.database import WORKER_ROLE, derived_password

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


WRITTEN = written()


@pytest.mark.parametrize("name", list(WRITTEN.PAGES))
def test_a_reference_page_is_what_make_docs_writes(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == WRITTEN.PAGES[name]()


def test_every_route_stands_in_the_reference_and_in_its_guide() -> None:
    paths = {bare(route.path) for route in WRITTEN.described_routes()}
    assert paths, "no routes were found: this test looks in the wrong place"
    for page in ("routes.md", "api.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert paths <= {bare(path) for path in re.findall(r"/[a-z{}_/-]*", text)}, page


def bare(path: str) -> str:
    """A path without the names of its parameters."""
    return re.sub(r"\{[a-z_]+(:path)?\}", "{}", path)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_each_of_its_flags_stands_in_the_reference(name: str) -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    command = main.get_command(click.Context(main), name)
    assert command is not None
    below = command.commands.values() if isinstance(command, click.Group) else [command]
    for leaf in below:
        path = f"docmill {name}" if leaf is command else f"docmill {name} {leaf.name}"
        section = text.partition(f"## {path}\n")[2].partition("\n## ")[0]
        assert section, f"{path} has no section"
        for option in leaf.params:
            shown = isinstance(option, click.Option) and not option.hidden
            assert not shown or any(flag in section for flag in option.opts), (path, option.opts)


def test_a_changelog_and_a_licence_are_there() -> None:
    assert "## " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "MIT" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert Settings().auth == ("none",)


def test_a_logins_password_is_what_the_security_page_says() -> None:
    code = markdown_code.titled("security.md")["a login's password"]
    env = {**os.environ, "ADMIN_PASSWORD": "p@ss wörd$"}
    said = subprocess.run(["sh", "-c", code], env=env, check=True, capture_output=True, text=True)
    admin = make_conninfo(user="admin", password=env["ADMIN_PASSWORD"], host="db")
    assert said.stdout.strip() == derived_password(admin, WORKER_ROLE)
