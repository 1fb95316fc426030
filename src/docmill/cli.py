"""The `docmill` command: which commands there are, and the file that each lies in.

A file is imported when its command is used: a worker has no use for the web framework, and the
client commands have none for the database. So what `docmill --help` says of each stands here.
"""

from importlib import import_module

import click

from docmill import __version__

COMMANDS = {
    "serve": (
        "serve_command:serve_command",
        "Start page, API and workers; with an embedded PostgreSQL unless DATABASE_URL is set.",
    ),
    "upload": ("upload_command:upload", "Upload FILES."),
    "list": ("client_commands:list_documents", "List documents, newest first."),
    "status": ("client_commands:status", "Show how the document ID stands."),
    "search": ("client_commands:search", "Find the passages that answer QUERY best."),
    "retry": (
        "client_commands:retry",
        "Let the failed or cancelled document ID go on where it stopped.",
    ),
    "cancel": ("client_commands:cancel", "Stop the work on the document ID."),
    "reprocess": (
        "client_commands:reprocess",
        "Read the document ID anew; the old result serves until then.",
    ),
    "delete": (
        "client_commands:delete",
        "Remove the document ID, whatever its state, with everything that hangs on it.",
    ),
    "keys": ("key_commands:keys", "Make, list and revoke API keys."),
    "worker": (
        "worker_command:worker_command",
        "Start a worker: as many, on as many machines, as wanted, on the same database.",
    ),
    "migrate": (
        "database_commands:migrate_command",
        "Bring the database to this version's schema.",
    ),
    "doctor": (
        "database_commands:doctor_command",
        "Say what is configured, what is reachable, what is wrong and how to mend it.",
    ),
    "clean": ("clean_command:clean_command", "Drop what is needed no longer, at once."),
    "backup": (
        "backup_commands:backup_command",
        "Write all documents and their history into FILE, as of now, while everything goes on.",
    ),
    "restore": (
        "backup_commands:restore_command",
        "Make an empty data folder, or a database without docmill, one with all that is in FILE.",
    ),
    "upgrade-data": (
        "backup_commands:upgrade_command",
        (
            "Move the data folder from an earlier version of PostgreSQL to the one that docmill"
            " brings."
        ),
    ),
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
        module, attribute = COMMANDS[name][0].split(":")
        command: click.Command = getattr(import_module(f"docmill.{module}"), attribute)
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """What each is for. click would import all of them to ask."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])


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
