"""One docmill for all acceptance tests; each test makes its own documents."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from running import Docmill


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A folder for docmill's data."""
    folder = Path(tempfile.mkdtemp(prefix="docmill-acceptance-"))
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def docmill(data_dir: Path) -> Iterator[Docmill]:
    """A started docmill with its own embedded PostgreSQL."""
    served = Docmill(data_dir, env={"DOCMILL_MAX_UPLOAD_BYTES": "50MB"})
    yield served
    assert served.stop() == 0, "\n".join(served.started.said)
