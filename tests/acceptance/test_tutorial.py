"""The tutorial, done as it stands: every block of it is typed, and says what the page shows."""

import json
import os
import re
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import markdown_code
from running import SERVES, until

ROOT = Path(__file__).parents[2]


class Reader:
    """Somebody with two terminals, in a folder with the repository in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        (folder / "docmill").symlink_to(ROOT)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DOCMILL_")}
        self._env = {
            **inherited,
            "DOCMILL_PORT": self.port,
            "DOCMILL_URL": f"http://127.0.0.1:{self.port}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self._server: subprocess.Popen[str] | None = None

    def installs(self, code: str) -> None:
        """Install docmill itself; what it needs is taken from this environment."""
        libraries = sysconfig.get_path("purelib")
        self.types(code, PIP_NO_DEPS="1", PIP_NO_BUILD_ISOLATION="0", PYTHONPATH=libraries)
        (site,) = self.folder.glob("mill/lib/*/site-packages")
        (site / "dependencies.pth").write_text(libraries)

    def types(self, code: str, **env: str) -> str:
        """What a block says, that must end well."""
        done = subprocess.run(
            ["bash", "-euc", self._here(code)],
            cwd=self.folder, env={**self._env, **env}, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, f"{code}\n{done.stdout}"
        return done.stdout

    def starts(self, code: str) -> None:
        """Type into the first terminal, after Ctrl-C if something runs there."""
        self.interrupts()
        self._server = subprocess.Popen(
            ["bash", "-euc", f"exec {self._here(code)}"],
            cwd=self.folder, env=self._env, text=True, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._server.stderr is not None
        for line in self._server.stderr:
            if SERVES.search(line):
                return
        raise AssertionError(f"it ended: {code}")

    def interrupts(self) -> None:
        """Press Ctrl-C in the first terminal."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            _, rest = self._server.communicate(timeout=60)
            assert self._server.returncode == 0, rest
            self._server = None

    def _here(self, code: str) -> str:
        return code.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")

    def keeps(self, name: str, code: str) -> None:
        """Write a file."""
        (self.folder / name).write_text(self._here(code))


@contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    somebody = Reader(folder)
    try:
        yield somebody
    finally:
        somebody.interrupts()


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    with reader(tmp_path) as somebody:
        typed = ""
        for block in markdown_code.blocks("tutorial.md"):
            code, title = block["code"], markdown_code.TITLE.search(block["about"])
            match block["language"], title and title[1]:
                case "sh", None if "pip install" in code:
                    somebody.installs(code)
                case "sh", None:
                    typed, somebody.said = code, somebody.types(code)
                case "sh", _:
                    somebody.starts(code)
                case "python", str(name):
                    somebody.keeps(name, code)
                case ("json" | "text") as kind, _:
                    shows(somebody, typed, kind, code)
                case other:
                    raise AssertionError(f"nobody types {other}")


def shows(somebody: Reader, typed: str, kind: str, expected: str) -> None:
    """What was typed shows this, at once or, where one only asks, a moment later."""

    def is_shown() -> bool:
        if kind == "json":
            is_like(json.loads(somebody.said), json.loads(expected))
        else:
            has_lines(somebody.said, expected)
        return True

    def look() -> bool | None:
        try:
            return is_shown()
        except AssertionError:
            somebody.said = somebody.types(typed)
            return None

    if " -F " in typed:
        is_shown()
    else:
        until(look, f"{typed} shows {expected}")


def is_like(said: Any, expected: Any) -> None:
    """All that is expected is said; `…` stands for anything."""
    match expected:
        case "…":
            assert said is not None
        case dict():
            assert isinstance(said, Mapping)
            for name, value in expected.items():
                assert name in said, f"{name} is not in {said}"
                is_like(said[name], value)
        case list():
            assert len(said) == len(expected)
            for one, other in zip(said, expected, strict=True):
                is_like(one, other)
        case _:
            assert said == expected


def has_lines(said: str, expected: str) -> None:
    """Each line that is expected is said; `…` stands for anything in it."""
    for line in expected.splitlines():
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        assert re.search(f"^{pattern}$", said, re.MULTILINE), f"{line!r} is not in:\n{said}"
