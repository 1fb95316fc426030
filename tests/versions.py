"""docmill of other versions, to run beside this one: the previous one, and one that may come."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from docmill import migrate

ROOT = Path(__file__).parent.parent
NAMED_IN = Path(__file__).parent / "previous_version.txt"
# What a later version might add, and not yet need.
NEXT = migrate.newest_version() + 1
NEXT_MIGRATION = """
alter table documents add column language text;
create table summaries (owner_id uuid not null, document_id uuid not null, text text);
"""


def previous_version(folder: Path) -> str:
    """A Python that runs the previous version, out of this repository's history."""
    if not (ROOT / ".git").exists():
        pytest.skip("no history here to take the previous version from")
    lines = NAMED_IN.read_text(encoding="utf-8").splitlines()
    (commit,) = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    known = subprocess.run(
        ["git", "merge-base", "--is-ancestor", commit, "HEAD"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if known.returncode and _is_shallow():
        pytest.skip("a shallow clone has no previous version (git fetch --unshallow)")
    assert known.returncode == 0, (
        f"{NAMED_IN.name} names {commit}, which is no ancestor of what is checked out. Name one"
        f" that is. {known.stderr}"
    )
    archive = subprocess.check_output(["git", "archive", commit, "src"], cwd=ROOT)
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return _python_with(folder / "src", folder)


def _is_shallow() -> bool:
    asked = ["git", "rev-parse", "--is-shallow-repository"]
    return subprocess.check_output(asked, cwd=ROOT, text=True).strip() == "true"


def next_version(folder: Path) -> str:
    """A Python that runs this version with one more migration."""
    shutil.copytree(ROOT / "src", folder / "src")
    migrations = folder / "src" / "docmill" / "migrations"
    (migrations / f"{NEXT:04}_next.sql").write_text(NEXT_MIGRATION)
    return _python_with(folder / "src", folder)


def _python_with(source: Path, folder: Path) -> str:
    """A Python that finds docmill there and everything else where this one does.

    Its own, and not PYTHONPATH: docmill hides that from the processes that it starts to read files.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    packages = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    here = sysconfig.get_path("purelib")
    (Path(packages.strip()) / "paths.pth").write_text(f"{source}\n{here}\n")
    found = subprocess.check_output(
        [python, "-P", "-c", "import docmill; print(docmill.__file__)"], text=True, cwd="/"
    )
    assert Path(found.strip()).is_relative_to(source)
    return str(python)
