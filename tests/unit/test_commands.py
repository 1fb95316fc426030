"""`docmill --help` is told at once, and tells of each command what the command tells of itself."""

import subprocess
import sys

import click
import pytest

from docmill.cli import COMMANDS, main

# What takes long to import, and a list of commands has no use for.
HEAVY = ("fastapi", "numpy", "psycopg", "httpx2", "uvicorn", "opentelemetry")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert COMMANDS[name][1] == command.get_short_help_str(limit=1000)


def test_server_that_takes_no_tokens_of_a_provider_loads_no_cryptography() -> None:
    loaded = "import docmill.serve, sys; print(*{'jwt', 'cryptography'} & sys.modules.keys())"
    assert not subprocess.check_output([sys.executable, "-c", loaded]).strip()


def test_help_imports_none_of_the_commands() -> None:
    asked = "import docmill.cli, sys; docmill.cli.main(['--help'], standalone_mode=False)"
    shown = f"{asked}; print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True, timeout=60
    )
    assert "upgrade-data" in done.stdout
    assert not done.stderr.strip()
