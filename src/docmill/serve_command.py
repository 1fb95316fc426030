"""`docmill serve`: page, API and workers on this machine."""

import click

from docmill import serve, tracing
from docmill.command_settings import (
    DATABASE_FLAGS,
    WORK_FLAGS,
    check_schema,
    configured,
    database,
    environment,
    explained,
    settings_as_flags,
    sigterm_unwinds,
)


@click.command("serve")
@settings_as_flags("host", "port", *DATABASE_FLAGS, "workers", *WORK_FLAGS, "max_upload_bytes")
def serve_command(**flags: str | None) -> None:
    """Start page, API and workers; with an embedded PostgreSQL unless DATABASE_URL is set."""
    settings = configured(flags)
    # Worker processes read the same settings from the environment.
    with (
        explained(),
        tracing.sending("api"),
        sigterm_unwinds(),
        database(settings) as where,
        environment(flags),
    ):
        check_schema(where)
        serve.serve(settings, where)
