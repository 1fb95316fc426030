"""Write the reference pages that are drawn from the code: settings, states, error codes.

`make docs` runs it; `tests/unit/test_docs.py` fails when a page is not what it would write.
"""

import dataclasses
from pathlib import Path

from docmill.config import Settings, default_data_dir, variable
from docmill.errors import FAILURES, PROBLEMS, WARNINGS
from docmill.lifecycle import DOCUMENT_MOVES, JOB_MOVES

DOCS = Path(__file__).parent.parent / "docs"
NOTE = "<!-- Written by scripts/write_reference.py from the code; `make docs` writes it anew. -->\n\n"


def settings() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable; commands take those they need as flags of the same",
        "name (`DOCMILL_DATA_DIR` is `--data-dir`). All are checked at start. A flag goes before the",
        "environment.",
        "",
        "| variable | default | what it is |",
        "|---|---|---|",
    ]
    for row in dataclasses.fields(Settings):
        lines.append(f"| `{variable(row.name)}` | {_default(row)} | {row.metadata['about']} |")
    return NOTE.join(["", "\n".join(lines) + "\n"])


def _default(row: dataclasses.Field[object]) -> str:
    if row.default_factory is default_data_dir:
        return "the platform's place for data; `/var/lib/docmill` for root"
    if row.default in (None, ()):
        return ""
    return f"`{row.default}`"


def states() -> str:
    """docs/states.md."""
    text = [
        "# States",
        "",
        "What may follow what. The tables are `lifecycle.py`; the database refuses rows that contradict",
        "themselves (a failure without a reason, an end without a time).",
        "",
        "## A document",
        "",
        *_diagram(DOCUMENT_MOVES),
        "",
        "`completed`, `failed` and `cancelled` are ends; a person may start again from them.",
        "",
        "## A job",
        "",
        *_diagram(JOB_MOVES),
        "",
        "A job is one stage of one generation of a document, or one range of it. Each time it runs is a row",
        "of `job_attempts`, which never changes after it ended.",
    ]
    return NOTE.join(["", "\n".join(text) + "\n"])


def _diagram(moves: dict[tuple[str, str], str]) -> list[str]:
    arrows = [f"    {before} --> {after}: {event}" for (before, event), after in moves.items()]
    return ["```mermaid", "stateDiagram-v2", "    [*] --> queued", *arrows, "```"]


def errors() -> str:
    """docs/errors.md."""
    text = [
        "# Error codes",
        "",
        "Codes are stable; sentences may improve.",
        "",
        "## Refused requests",
        "",
        "`application/problem+json` with this `code`. Nothing of the request was stored.",
        "",
        "| code | status | title |",
        "|---|---|---|",
        *(f"| `{code}` | {kind.status} | {kind.title} |" for code, kind in PROBLEMS.items()),
        "",
        "## Failed work",
        "",
        "The `error` of a document's status, of a job and of an attempt.",
        "",
        "| code | title | what to do | tried again |",
        "|---|---|---|---|",
        *(
            f"| `{code}` | {kind.title} | {kind.remedy} | {'yes' if kind.retryable else 'no'} |"
            for code, kind in FAILURES.items()
        ),
        "",
        "## Warnings",
        "",
        "In `warnings` of the status of a document that was read all the same.",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| `{code}` | {meaning} |" for code, meaning in WARNINGS.items()),
    ]
    return NOTE.join(["", "\n".join(text) + "\n"])


PAGES = {"settings.md": settings, "states.md": states, "errors.md": errors}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
