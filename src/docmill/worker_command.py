"""`docmill worker`: works on documents until it is told to stop, or what is due is done."""

import dataclasses
import json
import os
import signal
import threading
from types import FrameType

import click

from docmill import embed, metrics_listener, tracing
from docmill.command_settings import (
    DATABASE_FLAGS,
    EXIT_UNAVAILABLE,
    WORK_FLAGS,
    check_schema,
    configured,
    database,
    explained,
    settings_as_flags,
    sigterm_unwinds,
)
from docmill.forking import fork_for_each_wish
from docmill.worker import Worker
from docmill.zygote import SharedZygote

EXIT_TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h: cron may simply try again


@click.command("worker")
@click.option("--once", is_flag=True, help="Work what is due, then exit: one cron tick.")
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0.1),
    default=50.0,
    show_default=True,
    help="With --once: give back what is not finished by then.",
)
@click.option("--end-with-stdin", is_flag=True, hidden=True)
@click.option("--forked", is_flag=True, hidden=True)
@click.option("--embedding-table", type=int, hidden=True)
@click.option("--zygote", type=int, hidden=True)
@settings_as_flags(*DATABASE_FLAGS, *WORK_FLAGS, "drain_seconds", "metrics_port", "metrics_host")
def worker_command(
    *,
    once: bool,
    max_seconds: float,
    end_with_stdin: bool,
    forked: bool,
    embedding_table: int | None,
    zygote: int | None,
    **flags: str | None,
) -> None:
    """Start a worker: as many, on as many machines, as wanted, on the same database.

    SIGTERM drains it: what it holds is finished, or given back without counting an attempt.
    """
    settings = configured(flags)
    unavailable = EXIT_TEMPORARY if once else EXIT_UNAVAILABLE
    with explained(unavailable):
        embedder = embed.create_embedder(settings, embedding_table)
    if forked:  # from here on, this is one of many workers
        fork_for_each_wish()
    with (
        explained(unavailable),
        tracing.sending("worker"),
        sigterm_unwinds(),
        database(settings) as where,
    ):
        check_schema(where)
        with explained(unavailable):
            working = Worker(
                settings,
                where.worker,
                embedder,
                None if zygote is None else SharedZygote(zygote),
            )
        stop_on_signals(working)
        if end_with_stdin:
            stop_when_read(0, working)
        if settings.metrics_port is not None:
            with explained(unavailable):
                metrics_listener.listen(settings.metrics_host, settings.metrics_port, working)
        if once:
            click.echo(json.dumps(dataclasses.asdict(working.run_what_is_due(max_seconds))))
        else:
            working.run_until_stopped()


def stop_on_signals(working: Worker) -> None:
    """Drain at the first SIGTERM or SIGINT; the second one ends the process at once.

    The handler only writes to a pipe. It runs between any two steps of the main thread, which may
    hold the very lock that stopping takes: a worker that was told so would stand still for ever.
    """
    told, tell = os.pipe()

    def drain(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.write(tell, b"!")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, drain)
    stop_when_read(told, working)


def stop_when_read(pipe: int, working: Worker) -> None:
    """Drain when something comes out of a pipe, or when whoever held its other end is gone."""

    def wait() -> None:
        # Not sys.stdin, where that is the pipe: its lock, held by a thread at the process's end, is
        # a fatal error.
        os.read(pipe, 1)
        working.stop()

    threading.Thread(target=wait, name="stop", daemon=True).start()
