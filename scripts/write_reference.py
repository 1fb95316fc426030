"""Write what is drawn from the code: reference pages such as settings; Supabase's set-up.

`make docs` runs it; `tests/unit/test_docs.py` fails when a page is not what it would write.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import click
from fastapi.routing import APIRoute

from docmill.cli import main
from docmill.config import Settings, default_data_dir, variable
from docmill.errors import FAILURES, PROBLEMS, WARNINGS, FailureKind
from docmill.identity import scope_needed
from docmill.lifecycle import DOCUMENT_MOVES, JOB_MOVES
from docmill.measures import METRICS, Teller
from docmill.web.app import MODULES

ROOT = Path(__file__).parent.parent
ROLES = ROOT / "src" / "docmill" / "migrations" / "roles.sql"

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


ROUTES = """\
# Routes

All that a running docmill answers, with the scope that it takes and the [codes](errors.md) of its
own refusals; those that every request may meet are left out. [The API](api.md) says how the routes
go together, and `/openapi.json` has every shape.

{routes}
"""

COMMANDS = """\
# Commands

`docmill COMMAND --help` says the same. A flag with a name in brackets may also be given as that
environment variable ([settings.md](settings.md)). Where docmill wants to know who asks, `upload`
and the others that ask it show the key or token in `DOCMILL_API_KEY`.

{commands}
"""

CODE = re.compile(r"^`([A-Z_]+)`", re.MULTILINE)


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
    return STATES.format(document=_moves(DOCUMENT_MOVES), job=_moves(JOB_MOVES))


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
    lines = ["| " + " | ".join(_cells(row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _cells(row: tuple[str, ...]) -> Iterator[str]:
    return (cell.replace("|", "\\|") for cell in row)


def _moves(moves: Mapping[tuple[str, str], str]) -> str:
    rows = [(f"`{before}`", event, f"`{after}`") for (before, event), after in moves.items()]
    return _table(("is", "what happens", "is then"), rows)


def routes() -> str:
    """docs/routes.md."""
    rows = (
        (f"`{method} {route.path}`", scope_of(method, route.path), said_of(route))
        for route in described_routes()
        for method in sorted(route.methods)
    )
    return ROUTES.format(routes=_table(("route", "scope", "what it does, and refuses by"), rows))


def described_routes() -> list[APIRoute]:
    """The routes of the description, in the application's order, without the page."""
    found = (route for module in MODULES for route in module.router.routes)
    return [route for route in found if isinstance(route, APIRoute) and route.include_in_schema]


def scope_of(method: str, path: str) -> str:
    """The scope as a cell; `{…}` in a path may stand for anything."""
    needed = scope_needed(method, path)
    return f"`{needed}`" if needed else "nobody is asked"


def said_of(route: APIRoute) -> str:
    """What the route's own description says first, and the codes that it names."""
    first = inspect.getdoc(route.endpoint).splitlines()[0]
    described = (str(answer.get("description", "")) for answer in route.responses.values())
    codes = ", ".join(f"`{code}`" for text in described for code in CODE.findall(text))
    return f"{first}<br>{codes}" if codes else first


def commands() -> str:
    """docs/commands.md."""
    sections = (
        _section(context) for context in _contexts(click.Context(main, info_name="docmill"))
    )
    return COMMANDS.format(commands="\n\n".join(sections))


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """The commands below a group, and those below them."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        below = click.Context(command, parent=context, info_name=name)
        yield from _contexts(below) if isinstance(command, click.Group) else (below,)


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    options = [option for option in command.params if isinstance(option, click.Option)]
    records = filter(None, (option.get_help_record(context) for option in options))
    rows = [(f"`{flag}`", about) for flag, about in records]
    parts = [f"## {context.command_path}", _unwrapped(command.help), f"```\n{usage}\n```"]
    return "\n\n".join([*parts, *([_table(("flag", "what it is for"), rows)] if rows else [])])


def _unwrapped(text: str) -> str:
    """A command's help as Markdown; what click is told not to wrap is an example."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(_example(part) if part.startswith("\b") else _line(part) for part in parts)


def _example(part: str) -> str:
    return "```sh\n" + "\n".join(line.strip() for line in part.splitlines()[1:]) + "\n```"


def _line(part: str) -> str:
    return " ".join(part.split())


SETUP = """\
-- docmill on Supabase, or on any PostgreSQL whose admin is no superuser: run this once as
-- `postgres`, in the SQL editor. It makes a schema of docmill's own and roles that can use nothing
-- else; the tables come with the first `docmill migrate`. Run it again after an upgrade that says
-- so, or to change the password.
--
-- Choose a password below, of 20 signs or more, and keep it: docmill connects as docmill_admin with
-- it, and the two lesser roles' passwords are derived from it.
--
-- The middle part is src/docmill/migrations/roles.sql. Written by `make docs`.
begin;

do $$
begin
  perform set_config('docmill.password', 'CHOOSE A PASSWORD', true);
  if length(current_setting('docmill.password')) < 20 then
    raise exception 'Choose a password of 20 signs or more in the first lines.';
  end if;
end $$;

{roles}
-- docmill_admin migrates and does nothing else. It can't create roles, databases or extensions, and
-- sees no other schema. It may act as docmill's own roles, for that is what migrations do.
do $$
declare
  password text := current_setting('docmill.password');
  lesser text;
  k bytea;
  inner_key bytea;
  outer_key bytea;
begin
  if not exists (select from pg_roles where rolname = 'docmill_admin') then
    create role docmill_admin login inherit;
  end if;
  execute format('alter role docmill_admin password %L', password);
  grant docmill_owner, docmill_worker to docmill_admin with admin option;
  -- HMAC-SHA-256 of the role's name under the password, as docmill derives it.
  foreach lesser in array array['docmill_api', 'docmill_worker'] loop
    k := convert_to(password, 'UTF8');
    if length(k) > 64 then
      k := sha256(k);
    end if;
    inner_key := '';
    outer_key := '';
    for i in 0..63 loop
      inner_key := inner_key || set_byte('\\x00'::bytea, 0,
        (case when i < length(k) then get_byte(k, i) else 0 end) # 54);
      outer_key := outer_key || set_byte('\\x00'::bytea, 0,
        (case when i < length(k) then get_byte(k, i) else 0 end) # 92);
    end loop;
    execute format('alter role %I password %L', lesser, encode(
      sha256(outer_key || sha256(inner_key || convert_to(lesser, 'UTF8'))), 'hex'));
  end loop;
end $$;

commit;
"""


def setup() -> str:
    """deploy/supabase/setup.sql."""
    return SETUP.format(roles=ROLES.read_text(encoding="utf-8"))


PAGES: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings,
    "docs/states.md": states,
    "docs/errors.md": errors,
    "docs/metrics.md": metrics,
    "docs/routes.md": routes,
    "docs/commands.md": commands,
    "deploy/supabase/setup.sql": setup,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), encoding="utf-8")
