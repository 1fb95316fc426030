"""What tests share: a real PostgreSQL with docmill's schema, emptied before each test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import in_memory
import running
from docmill import database, embedded_postgres, migrate
from docmill.database import Addresses, Sync

# Found anew in every run would be found at the wrong time: the examples are the same each time, and
# no slow machine fails a test. `make fuzz` looks for new ones.
PATIENT = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=PATIENT)
settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("EXAMPLES", "10000")),
    deadline=None,
    suppress_health_check=PATIENT,
    print_blob=True,
)
settings.load_profile("same")
REMOVAL = pytest.StashKey[Finalize | None]()

MODEL = migrate.EmbeddingModel("wordllama-l2-256", 256)
TABLES = (
    "documents, files, collections, workers, stage_limits, embedding_services, paid_embeddings,"
    " queue_samples, operator_actions, webhooks, tallies, last_tick,"
    " large_owners, vectors_come"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `make orders`."""
    parser.addoption(
        "--breaks",
        type=int,
        default=2,
        help="tests/isolation: orders in which at most so many sessions are broken off",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests' files in memory; the processes that share the tests inherit where."""
    config.stash[REMOVAL] = in_memory.use()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave the files that tests that failed may be asked about, but no process of theirs."""
    running.end_what_is_left()
    removal = session.config.stash[REMOVAL]
    if exitstatus and removal:
        removal.cancel()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder with real documents; tests that need it are skipped where it is not."""
    default = Path(__file__).parent.parent.parent / "shared" / "corpus"
    folder = Path(os.environ.get("DOCMILL_CORPUS", default))
    if not folder.is_dir():
        pytest.skip(f"no corpus in {folder}; DOCMILL_CORPUS names another place")
    return folder


@pytest.fixture(scope="session")
def admin_url() -> Iterator[str]:
    """The address of a real PostgreSQL: the embedded one, or DOCMILL_TEST_DATABASE_URL."""
    if url := os.environ.get("DOCMILL_TEST_DATABASE_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="docmill-test-"))
    server = embedded_postgres.start(folder / "data")
    yield server.admin_url
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated(admin_url: str) -> Addresses:
    """The addresses of a database with docmill's schema."""
    migrate.migrate(admin_url, MODEL)
    return database.addresses(admin_url)


@pytest.fixture
def addresses(migrated: Addresses, admin_url: str) -> Addresses:
    """The addresses of a database with docmill's schema and no rows."""
    with database.connect(admin_url, autocommit=True) as connection:
        connection.execute("set search_path = docmill")
        connection.execute(f"truncate {TABLES} cascade".encode())
    return migrated


@pytest.fixture
def admin(addresses: Addresses) -> Iterator[Sync]:
    """A superuser's connection, which sees every row, to look behind the scenes."""
    assert addresses.admin is not None
    with database.connect(addresses.admin, autocommit=True) as connection:
        connection.execute("select set_config('search_path', 'docmill, extensions', false)")
        yield connection


@pytest.fixture
def worker_connection(addresses: Addresses) -> Iterator[Sync]:
    """A connection as workers have it; every statement is its own transaction."""
    with database.connect(addresses.worker, autocommit=True) as connection:
        yield connection
