"""How the log is written: lines for people, or a JSON object a line; each says what it is about.

What a line is about (document, job, owner, stage, attempt, trace) is said once, around the work,
and holds for every line in it, whoever writes that: docmill, its database driver or its web server.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from uuid import UUID

log = logging.getLogger(__name__)

_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts", default=None)


@contextmanager
def about(**facts: Any) -> Iterator[None]:
    """Say with every line of a block what it is about; with None, nothing."""
    token = _facts.set({**(_facts.get() or {}), **_known(facts)})
    try:
        yield
    finally:
        _facts.reset(token)


def note(**facts: Any) -> None:
    """Say more with the lines of the block around, from now on."""
    around = _facts.get()
    if around is not None:
        around |= _known(facts)


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if fact is not None}


class Lines(logging.Formatter):
    """A line for people, with what it is about behind it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without the traceback."""
        line = super().formatMessage(record)
        facts = _facts.get() or {}
        # An id that the sentence has already is not said twice.
        said = [f"{name}={fact}" for name, fact in facts.items() if not _is_id_in(fact, line)]
        return f"{line} [{' '.join(said)}]" if said else line


def _is_id_in(fact: Any, line: str) -> bool:
    return isinstance(fact, UUID) and str(fact) in line


class Objects(logging.Formatter):
    """One JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            "process": os.getpid(),
            **(_facts.get() or {}),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


def configure(level: str, form: str) -> None:
    """Write the log of this process to its standard error.

    Args:
        level: as the setting `log_level`.
        form: `text` or `json`; with `json` there is no other line, also at a crash.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(Objects() if form == "json" else Lines())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    if form == "json":
        logging.captureWarnings(capture=True)
        sys.excepthook = _crash
        threading.excepthook = _crash_of_thread


def is_json() -> bool:
    """Whether programs read this process's log."""
    return sys.excepthook is _crash


def _crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        log.critical("docmill made a mistake and ends", exc_info=(kind, error, trace))


def _crash_of_thread(of: threading.ExceptHookArgs) -> None:
    if of.exc_value is not None and of.exc_type is not SystemExit:
        where = of.thread.name if of.thread else "?"
        log.critical("a thread ends: %s", where, exc_info=of.exc_value)
