"""Named points around every commit, at which a test makes docmill die, fail or stand still.

Off in normal use: one comparison with None. `DOCMILL_FAILPOINT=finish_parse:before=kill` arms one
point of one process, for one time:

    kill     the process ends by SIGKILL, as by the kernel's hand when memory runs out
    freeze   the process stands still by SIGSTOP, past its leases, until somebody continues it
    raise    an exception that no code expects

`before` is when everything is written and nothing committed, `after` when everything is committed
and nobody knows. Every commit has its name here: the pools of `database.py` ask for one, and what
they give without a name can only read.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

VARIABLE = "DOCMILL_FAILPOINT"

ApiCommit = Literal[
    "keep_part", "forget_upload", "accept_document", "cancel", "retry", "reprocess", "delete",
    "create_upload", "take_upload", "keep_slice", "confirm_slice", "finish_upload", "leave_upload",
    "end_upload", "begin_key", "forget_key",
    "operate", "open_session", "close_session", "note_key_uses",
    "change_webhook", "queue_delivery",
]  # fmt: skip
WorkerCommit = Literal[
    "claim", "idle", "beat", "leave", "release", "fail", "reap", "fail_lost", "prune", "sweep",
    "split", "keep_pages", "finish_parse", "keep_chunks", "finish_chunk", "keep_embeddings",
    "finish_embed", "keep_paid", "pause_service", "postpone", "sample", "index_vectors",
    "claim_deliveries", "note_delivery",
]  # fmt: skip
MigrationCommit = Literal[
    "create_roles", "apply_migration", "make_room_for_model", "drop_old_indexes"
]
Commit = ApiCommit | WorkerCommit | MigrationCommit
Moment = Literal["before", "after"]
Action = Literal["kill", "freeze", "raise"]

API_COMMITS: tuple[ApiCommit, ...] = get_args(ApiCommit)
WORKER_COMMITS: tuple[WorkerCommit, ...] = get_args(WorkerCommit)
MIGRATION_COMMITS: tuple[MigrationCommit, ...] = get_args(MigrationCommit)
MOMENTS: tuple[Moment, ...] = get_args(Moment)
ACTIONS: tuple[Action, ...] = get_args(Action)


class Reached(RuntimeError):
    """What the action `raise` raises."""


@dataclass(frozen=True, slots=True)
class Armed:
    """The one point that is armed, and what happens there."""

    commit: str
    moment: str
    action: str

    @classmethod
    def read(cls, text: str) -> "Armed":
        """From `commit:moment=action`.

        Raises:
            ValueError: there is no such point or action.
        """
        point, _, action = text.partition("=")
        commit, _, moment = point.partition(":")
        known = {*API_COMMITS, *WORKER_COMMITS, *MIGRATION_COMMITS}
        if commit not in known or moment not in MOMENTS or action not in ACTIONS:
            raise ValueError(f"{VARIABLE}={text!r} names no failpoint")
        return cls(commit, moment, action)


_armed: Armed | None = Armed.read(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def reach(commit: Commit, moment: Moment) -> None:
    """Come to a failpoint; nothing happens unless it is armed."""
    if _armed is not None and (_armed.commit, _armed.moment) == (commit, moment):
        _happen(_armed)


@contextmanager
def around(commit: Commit) -> Iterator[None]:
    """A block that commits by itself: a statement in autocommit, a transaction of its own."""
    reach(commit, "before")
    yield
    reach(commit, "after")


def _happen(armed: Armed) -> None:
    global _armed  # noqa: PLW0603 - armed once per process, and gone when it has happened
    _armed = None
    print(f"failpoint {armed.commit}:{armed.moment} {armed.action}", file=sys.stderr, flush=True)  # noqa: T201 - the log may be off, the test waits for this line
    if armed.action == "raise":
        raise Reached(f"{armed.commit}:{armed.moment}")
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    # To this very thread: one that is sent to the process is heard by its main thread, and this one
    # would go on until that gets a processor.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
