"""`docmill doctor` on databases that are well and on broken ones: what is wrong, and what to do."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from certificates import certified
from docmill import database
from faults import Scene, new_scene
from pooler import pooler
from running import Docmill, Started, until
from servers import ONLY_TLS, TLS_FILES, binaries_with_tls
from tcp_postgres import PASSWORD, TcpPostgres, tcp_postgres

PAGE = Path(__file__).parent.parent.parent / "docs" / "postgres.md"
VERSION = re.compile(r"(PostgreSQL|pgvector|Version) [\d.]*\d")
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def examined(url: str, **env: str) -> list[str]:
    """What it says of everything, without what depends on the machine or on a version."""
    started = Started("doctor", env={"DOCMILL_DATABASE_URL": url, **env})
    status = started.wait()
    said = [line for line in started.said if line.startswith(("ok  ", "BAD ", "     "))]
    assert "Traceback" not in "\n".join(started.said)
    assert status == int(any(line.startswith("BAD") for line in said)), started.said
    assert PASSWORD not in "\n".join(started.said)
    return plain(said)


def plain(lines: list[str]) -> list[str]:
    kept = [line for line in lines if "parser confinement" not in line]
    return [re.sub(VERSION, r"\1 N", line) for line in kept]


def shown_in_docs() -> list[list[str]]:
    blocks = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [plain(block.splitlines()) for block in blocks]


@pytest.fixture(scope="module")
def server() -> Iterator[TcpPostgres]:
    with tcp_postgres() as started:
        yield started


@pytest.fixture
def scene(server: TcpPostgres) -> Iterator[Scene]:
    """A database of its own, migrated."""
    with new_scene(server.address()) as made:
        yield made


def test_docs_show_what_it_says(server: TcpPostgres) -> None:
    direct, pooled, broken = shown_in_docs()
    docmill = Docmill(None, env={"DOCMILL_DATABASE_URL": server.address()})
    until(lambda: "ok   workers: 2 are live." in examined(server.address()), "both live")
    assert examined(server.address()) == direct
    assert docmill.stop() == 0
    with pooler(server.address()) as through:
        assert examined(through(server.address())) == pooled
    assert examined(server.address(password="wrong")) == broken


def bad(lines: list[str]) -> str:
    """What is wrong, and what to do: the first of it."""
    return next(line for line in lines if line.startswith("BAD"))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"host": "nowhere.invalid"}, "There is no host of the name nowhere.invalid."),
        ({"port": "1"}, "Nobody listens at 127.0.0.1, port 1."),
        ({"dbname": "missing"}, "The server has no database missing."),
        ({"user": "nobody"}, "The server knows no such user as nobody with this password."),
        ({"sslmode": "require"}, "The server does not speak TLS, and the address asks for it"),
    ],
)
def test_server_that_is_not_there_or_not_so_is_said_once(
    server: TcpPostgres, parts: dict[str, str], sentence: str
) -> None:
    lines = examined(make_conninfo(server.address(), **parts))
    assert sentence in bad(lines)
    assert sum(line.startswith("BAD") for line in lines) == 1
    assert any(line.startswith("     ") for line in lines), "what to do about it"


def test_certificates_that_do_not_prove_who_the_server_is(tmp_path: Path) -> None:
    made, other = certified("127.0.0.1"), certified("127.0.0.1")
    for name, content in (("good", made.authority), ("other", other.authority)):
        (tmp_path / name).write_bytes(content)
    with tcp_postgres(
        binaries=binaries_with_tls(),
        access=ONLY_TLS,
        files={"server.crt": made.certificate, "server.key": made.key},
        settings={"ssl": "on", **TLS_FILES},
    ) as server:

        def said(**parts: str) -> str:
            return bad(examined(server.address(**parts)))

        good, other_one = str(tmp_path / "good"), str(tmp_path / "other")
        assert "not by an authority" in said(sslmode="verify-full", sslrootcert=other_one)
        gone = said(sslmode="verify-full", sslrootcert="/gone.crt")
        assert "The authority's certificate /gone.crt is not there" in gone
        named = said(sslmode="verify-full", sslrootcert=good, host="localhost")
        assert "certificate is for" in named
        assert "not for localhost" in named
        assert "takes nobody without TLS" in said(sslmode="disable")
        lines = examined(server.address(sslmode="verify-full", sslrootcert=good))
        assert "over TLS" in lines[0]


def test_server_without_pgvector() -> None:
    if not (DEBIAN_15 / "postgres").exists():
        pytest.skip("no PostgreSQL 15 of Debian's, which has no pgvector")
    with tcp_postgres(binaries=DEBIAN_15) as server:
        assert "The server has no pgvector." in bad(examined(server.address()))
        migrated = Started("migrate", env={"DOCMILL_DATABASE_URL": server.address()})
        assert migrated.wait() == 69
        assert "the server has no pgvector. Install it" in migrated.said[-1]


def test_database_that_docmill_never_was_in(scene: Scene) -> None:
    scene.admin.execute("drop schema docmill cascade")
    lines = examined(scene.url)
    assert "Run `docmill migrate`" in bad(lines)


def test_schema_that_is_older_than_this_docmill(scene: Scene) -> None:
    scene.admin.execute("delete from schema_migrations where version > 5")
    assert "schema is version 5, this docmill needs" in bad(examined(scene.url))


def test_grants_that_were_lost(scene: Scene) -> None:
    scene.admin.execute("revoke all on documents, chunks from docmill_api")
    lines = examined(scene.url)
    assert "docmill_api may do nothing with chunks, documents" in bad(lines)


def test_role_that_would_open_every_owners_rows(scene: Scene) -> None:
    lines = examined(scene.url, DOCMILL_API_DATABASE_URL=scene.url)
    assert "passes over row-level security" in bad(lines)


def test_role_whose_password_is_not_the_derived_one(scene: Scene) -> None:
    worker = make_conninfo(database.addresses(scene.url).worker, password="wrong")
    lines = examined(scene.url, DOCMILL_WORKER_DATABASE_URL=worker)
    assert "worker role: The server knows no such user as docmill_worker" in bad(lines)
    assert any("in DOCMILL_WORKER_DATABASE_URL" in line for line in lines)
