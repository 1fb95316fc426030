"""The `docmill` command: which commands there are, and the file that each lies in.

A file is imported when its command is used: a worker has no use for the web framework, and the
client commands have none for the database.
"""

from importlib import import_module

import click

from docmill import __version__

COMMANDS = {
    "serve": "serve_command:serve_command",
    "upload": "upload_command:upload",
    "list": "client_commands:list_documents",
    "status": "client_commands:status",
    "search": "client_commands:search",
    "retry": "client_commands:retry",
    "cancel": "client_commands:cancel",
    "reprocess": "client_commands:reprocess",
    "delete": "client_commands:delete",
    "keys": "key_commands:keys",
    "worker": "worker_command:worker_command",
    "migrate": "database_commands:migrate_command",
    "doctor": "database_commands:doctor_command",
    "clean": "clean_command:clean_command",
    "backup": "backup_commands:backup_command",
    "restore": "backup_commands:restore_command",
    "upgrade-data": "backup_commands:upgrade_command",
}


class Commands(click.Group):
    """The commands of the table above."""

    def list_commands(self, _: click.Context) -> list[str]:
        """Their names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        """The command of a name."""
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name].split(":")
        command: click.Command = getattr(import_module(f"docmill.{module}"), attribute)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="docmill")
def main() -> None:
    """Take documents over HTTP and make them searchable in the background.

    \b
    docmill serve                   start everything on this machine
    docmill upload report.pdf --wait
    docmill search "what was agreed on the roof"

    Every setting of a command is also an environment variable, DOCMILL_ and its name. Where
    docmill wants to know who asks, DOCMILL_API_KEY holds your key or token.
    """  # noqa: D301 - click's mark for a block that is not wrapped
