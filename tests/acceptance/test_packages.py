"""The wheel and the source distribution: whole, the same, enough to run docmill and to test it."""

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from running import Docmill

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "docmill"


def run(command: Sequence[str | Path], folder: Path) -> str:
    """What a command says, which must end well."""
    done = subprocess.run(
        command,
        cwd=folder,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def hatch(folder: Path, kind: str, out: Path) -> Path:
    """Build with the project's own backend; the file."""
    run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)], folder)
    (built,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(hatch(ROOT, "sdist", folder / "built")) as packed:
        packed.extractall(folder, filter="data")
    (unpacked,) = folder.glob("docmill-*")
    return unpacked


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built from the source distribution, as package indexes do."""
    return hatch(source, "wheel", tmp_path_factory.mktemp("wheel"))


def test_wheels_from_the_repository_and_from_the_sdist_are_the_same(
    wheel: Path, tmp_path: Path
) -> None:
    assert contents(hatch(ROOT, "wheel", tmp_path)) == contents(wheel)


def test_a_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    files = {
        str(path.relative_to(PACKAGE.parent)): path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = contents(wheel)
    assert {name: packed.get(name) for name in files} == files
    kinds = {Path(name).suffix for name in files}
    assert {".py", ".sql", ".js", ".css", ".pdf", ".typed"} <= kinds


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment with the wheel in it.

    Its dependencies are those of this environment; docmill itself is the wheel's.
    """
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "--disable-pip-version-check",
        "-q",
    ]
    run([*pip, "install", "--no-deps", "--no-index", wheel], folder)
    (site,) = (folder / "lib").glob("*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    assert str(site) in run([python, "-c", "import docmill; print(docmill.__file__)"], folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def served(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docmill]:
    """The wheel's docmill, started in an empty folder."""
    data = tmp_path_factory.mktemp("data") / "data"
    empty = tmp_path_factory.mktemp("empty")
    docmill = Docmill(data, "--workers", "1", python=str(installed / "python"), folder=empty)
    yield docmill
    assert docmill.stop() == 0
    assert list(empty.iterdir()) == []


def test_an_installed_wheel_takes_its_sample_and_finds_it(installed: Path, served: Docmill) -> None:
    folder = installed.parent
    ask = "from importlib.resources import files as f; print(next(f('docmill.sample').iterdir()))"
    sample = run([installed / "python", "-c", ask], folder).strip()
    assert str(folder) in sample
    command = [installed / "docmill", "upload", "--wait", sample, "--url", served.url]
    assert "searchable (100 %)" in run(command, folder)
    assert served.search("what happens when a worker is killed")


def test_an_installed_wheel_serves_every_file_of_the_page(served: Docmill) -> None:
    page = served.http.get("/").text
    where = page.partition('data-version="')[2][:16]
    names = {path.name for path in (PACKAGE / "web" / "page").iterdir()} - {"index.html"}
    statuses = {name: served.http.get(f"/page/{where}/{name}").status_code for name in names}
    assert statuses == dict.fromkeys(names, 200)


def test_every_requirement_of_the_wheel_is_met_by_the_lock(installed: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--python", installed / "python", "check")
    assert "No broken requirements" in run(pip, installed)


def test_the_sdist_holds_what_its_tests_and_checks_need(source: Path) -> None:
    kept = run(["git", "ls-files"], ROOT).split() if (ROOT / ".git").exists() else []
    assert [name for name in kept if not (source / name).exists()] == []
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    # Every test finds what it imports; the asserts are not made to speak, which takes much longer.
    run([*pytest_here, "--collect-only", "--assert=plain"], source)
    assert " passed" in run([*pytest_here, "tests/unit/test_docs.py"], source)
