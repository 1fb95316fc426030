"""What a user does from a shell."""

import click

COMMANDS: tuple[click.Command, ...] = ()
