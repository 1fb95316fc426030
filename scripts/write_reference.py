"""Write the reference pages that are drawn from the code: settings, states, error codes,
metrics.

`make docs` runs it; `tests/unit/test_docs.py` fails when a page is not what it would write.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from docmill.config import Settings, default_data_dir, variable
from docmill.errors import FAILURES, PROBLEMS, WARNINGS, FailureKind
from docmill.lifecycle import DOCUMENT_MOVES, JOB_MOVES
from docmill.measures import METRICS, Teller

DOCS = Path(__file__).parent.parent / "docs"

SETTINGS = """\
# Settings

Every setting is an environment variable; commands take those they need as flags of the same name
(`DOCMILL_DATA_DIR` is `--data-dir`). A flag goes before the environment. All are checked at start.

{settings}
"""

STATES = """\
# States

What may follow what. The tables are `lifecycle.py`; the database refuses rows that contradict
themselves (a failure without a reason, an end without a time).

## A document

{document}

`completed`, `failed` and `cancelled` are ends; a person may start again from them.

## A job

{job}

A job is one stage of one generation of a document, or one range of it. Each time it runs is a row
of `job_attempts`, which never changes after it ended.
"""

ERRORS = """\
# Error codes

Codes are stable; sentences may improve.

## Refused requests

`application/problem+json` with this `code`. Nothing of the request was stored.

{problems}

## Failed work

The `error` of a document's status, of a job and of an attempt.

{failures}

## Warnings

In `warnings` of the status of a document that was read all the same.

{warnings}
"""

METRICS_PAGE = """\
# Metrics

What `GET /metrics` says, in Prometheus' text format. [monitoring.md](monitoring.md) says how to
scrape it and what to watch.

## From the database

The same from every API process: of several, take one (`max without (instance) (…)`), not the sum.
All of it is true of one moment. Counts are over all machines and all owners since they were first
kept; they outlive processes and the documents that they count.

{database}

## From an API process, about itself

{api}

## From a worker that runs alone, about itself

At its `--metrics-port`.

{worker}

## From both, about themselves

{process}
"""


def metrics() -> str:
    """docs/metrics.md."""

    def told_by(teller: Teller) -> str:
        rows = (
            (f"`{name}`", row.kind, ", ".join(f"`{label}`" for label in row.labels), row.about)
            for name, row in METRICS.items()
            if row.told_by == teller
        )
        return _table(("metric", "kind", "labels", "what it is"), rows)

    return METRICS_PAGE.format(
        database=told_by("database"),
        api=told_by("api"),
        worker=told_by("worker"),
        process=told_by("process"),
    )


def settings() -> str:
    """docs/settings.md."""
    rows = (
        (f"`{variable(row.name)}`", _default(row), row.metadata["about"])
        for row in dataclasses.fields(Settings)
    )
    return SETTINGS.format(settings=_table(("variable", "default", "what it is"), rows))


def _default(row: "dataclasses.Field[object]") -> str:
    if row.default_factory is default_data_dir:
        return "the platform's place for data; `/var/lib/docmill` for root"
    if row.default in {None, ()}:
        return ""
    default = row.default
    return f"`{','.join(default) if isinstance(default, tuple) else default}`"


def states() -> str:
    """docs/states.md."""
    return STATES.format(document=_diagram(DOCUMENT_MOVES), job=_diagram(JOB_MOVES))


def errors() -> str:
    """docs/errors.md."""
    problems = ((f"`{code}`", str(kind.status), kind.title) for code, kind in PROBLEMS.items())
    failures = (
        (f"`{code}`", kind.title, kind.remedy, _tried_again(kind))
        for code, kind in FAILURES.items()
    )
    warnings = ((f"`{code}`", meaning) for code, meaning in WARNINGS.items())
    return ERRORS.format(
        problems=_table(("code", "status", "title"), problems),
        failures=_table(("code", "title", "what to do", "tried again"), failures),
        warnings=_table(("code", "meaning"), warnings),
    )


def _tried_again(kind: FailureKind) -> str:
    if kind.of_file:
        return "once, and further while it gets on"
    return "yes" if kind.retryable else "no"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _diagram(moves: Mapping[tuple[str, str], str]) -> str:
    arrows = [f"    {before} --> {after}: {event}" for (before, event), after in moves.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> queued", *arrows, "```"])


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "states.md": states,
    "errors.md": errors,
    "metrics.md": metrics,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
