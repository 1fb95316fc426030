"""The page's files: whole, kept for ever, packed, and in every way that docmill is installed."""

import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from running import SERVES, Docmill, Started

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src" / "docmill" / "web" / "page"
NAMES = {path.name for path in PAGE.iterdir() if path.name != "index.html"}


def version(http: httpx2.Client) -> str:
    match = re.search(r'data-version="(\w{16})"', http.get("/").text)
    assert match
    return match[1]


def test_every_file_is_served_once_for_ever(docmill: Docmill) -> None:
    where = f"/page/{version(docmill.http)}"
    for name in NAMES:
        answer = docmill.http.get(f"{where}/{name}")
        assert answer.status_code == 200, name
        assert answer.content == (PAGE / name).read_bytes(), name
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "require-trusted-types-for 'script'" in answer.headers["content-security-policy"]
    plain = docmill.http.get(f"{where}/main.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_files_of_another_version_and_outside_are_not_there(docmill: Docmill) -> None:
    known = version(docmill.http)
    for path in (
        "/page/0000000000000000/main.js",
        f"/page/{known}/index.html",
        f"/page/{known}/..%2f..%2fconfig.py",
        f"/page/{known}/page.py",
        "/page/main.js",
    ):
        assert docmill.http.get(path).status_code == 404, path


def test_the_page_is_asked_for_each_time_and_names_all_its_modules(docmill: Docmill) -> None:
    page = docmill.http.get("/")
    assert page.headers["cache-control"] == "no-cache"
    modules = set(re.findall(r'modulepreload" href="/page/\w+/([\w-]+\.js)"', page.text))
    assert modules == {name for name in NAMES if name.endswith(".js")}
    again = docmill.http.get("/operator", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304


def test_a_second_visit_fetches_the_page_alone(docmill: Docmill, page: Page) -> None:
    page.goto(docmill.url)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto(f"{docmill.url}/operator")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    fetched = page.evaluate(
        """performance.getEntriesByType("resource")
           .filter(({ transferSize }) => transferSize > 0).map(({ name }) => name)"""
    )
    assert [url for url in fetched if "/page/" in url] == []


# ways to install -------------------------------------------------------------------------


def hatch(folder: Path, kind: str, out: Path) -> Path:
    """Build with the project's own backend; the file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (built,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def pages_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as packed:
        names = {Path(name) for name in packed.namelist()}
    return {name.name for name in names if name.parent == Path("docmill/web/page")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built from the source distribution, as package indexes do."""
    folder = tmp_path_factory.mktemp("built")
    with tarfile.open(hatch(ROOT, "sdist", folder / "sdist")) as packed:
        packed.extractall(folder, filter="data")
    (source,) = folder.glob("docmill-*")
    return hatch(source, "wheel", folder / "from-sdist")


def test_wheels_from_the_repository_and_from_the_sdist_hold_the_same_page(
    wheel: Path, tmp_path: Path
) -> None:
    assert pages_of(wheel) == NAMES | {"index.html"}
    assert pages_of(hatch(ROOT, "wheel", tmp_path)) == pages_of(wheel)


def test_a_wheel_in_a_fresh_environment_serves_every_file(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("*/site-packages")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    # The dependencies are those of this environment; docmill itself is the wheel's.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    code = "import docmill; print(docmill.__file__)"
    where = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    assert str(site) in where

    data = str(tmp_path / "data")
    server = Started(
        "serve", "--port", "0", "--workers", "0", "--data-dir", data, python=str(python)
    )
    url = server.says(SERVES.pattern)[1]
    with httpx2.Client(base_url=url) as http:
        at = f"/page/{version(http)}"
        assert {http.get(f"{at}/{name}").status_code for name in NAMES} == {200}
    assert server.terminate() == 0
