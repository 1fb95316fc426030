"""The same requests to docmill and to the reference server of tus: the same statuses and headers.

Where docmill answers otherwise, it is written here, and why.
"""

import base64
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from running import Docmill

JUDGES = Path(__file__).parent.parent / "judges"
TUS = {"Tus-Resumable": "1.0.0"}
SLICE = {**TUS, "Content-Type": "application/offset+octet-stream"}
NAMED = {"Upload-Metadata": f"filename {base64.b64encode(b'a.txt').decode()}"}
COMPARED = ("upload-offset", "upload-length", "upload-defer-length", "upload-metadata",
            "tus-resumable", "cache-control")  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One request of a scenario; `{upload}` is where the upload of this scenario is."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""


def create(length: int | None = None, **headers: str) -> Step:
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    return Step("POST", "/uploads", {**TUS, **size, **NAMED, **headers})


def patch(offset: int | str, content: bytes, **headers: str) -> Step:
    at = {"Upload-Offset": str(offset)}
    return Step("PATCH", "{upload}", {**SLICE, **at, **headers}, content)


HEAD, DELETE = Step("HEAD", "{upload}", TUS), Step("DELETE", "{upload}", TUS)
SOME = uuid4().bytes * 4

SCENARIOS = {
    "in two slices": [create(64), HEAD, patch(0, SOME[:40]), HEAD, patch(40, SOME[40:]), HEAD],
    "with its bytes at once": [
        Step("POST", "/uploads", {**SLICE, **NAMED, "Upload-Length": "64"}, SOME), HEAD,
    ],
    "length said later": [
        create(), HEAD, patch(0, SOME), HEAD, patch(64, b"", **{"Upload-Length": "64"}), HEAD,
    ],
    "given up": [create(64), patch(0, SOME[:9]), DELETE, HEAD, patch(9, b"x"), DELETE],
    "at a wrong offset": [
        create(64), patch(0, SOME[:9]), patch(0, SOME[:9]), patch(20, b"x"), HEAD,
    ],
    "no offset": [create(64), Step("PATCH", "{upload}", SLICE, SOME), HEAD],
    "an offset that is none": [create(64), patch("x", SOME), HEAD],
    "another content type": [
        create(64), Step("PATCH", "{upload}", {**TUS, "Upload-Offset": "0"}, SOME), HEAD,
    ],
    "no size": [Step("POST", "/uploads", {**TUS, **NAMED})],
    "a size that is none": [create(64, **{"Upload-Length": "-1"})],
    "deferred in a wrong way": [Step("POST", "/uploads", {**TUS, "Upload-Defer-Length": "2"})],
    "too large": [create(60_000_000)],
    "another version": [Step("POST", "/uploads", {"Tus-Resumable": "0.2", "Upload-Length": "5"})],
    "unknown": [
        Step("HEAD", "/uploads/0123456789abcdef", TUS),
        Step("PATCH", "/uploads/0123456789abcdef", {**SLICE, "Upload-Offset": "0"}, SOME),
        Step("DELETE", "/uploads/0123456789abcdef", TUS),
    ],
    "empty slices": [create(64), patch(0, b""), HEAD, patch(0, SOME), patch(64, b""), HEAD],
    "more than its length": [create(64), patch(0, SOME + b"more"), HEAD],
}  # fmt: skip

# (scenario, number of the step) -> (docmill's status, the reference's). In all three
# the protocol has a status of its own for it, and the reference takes another.
OTHERWISE = {
    ("no offset", 1): (400, 403),
    ("another content type", 1): (415, 403),
    ("another version", 0): (412, 400),
}


class Oracle:
    """@tus/server in a Node process."""

    def __init__(self, folder: Path) -> None:
        node = shutil.which("node")
        if node is None or not (JUDGES / "node_modules").is_dir():
            pytest.skip("no Node, or its packages are not installed (npm ci in tests/judges)")
        self._process = subprocess.Popen(
            [node, JUDGES / "oracle.mjs", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().split()[1]}"

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    made = Oracle(tmp_path_factory.mktemp("oracle"))
    yield made
    made.close()


def played(url: str, steps: list[Step]) -> list[tuple[int, dict[str, str]]]:
    """Status and compared headers of each answer."""
    upload = ""
    answers = []
    with httpx2.Client(base_url=url, timeout=60) as http:
        for step in steps:
            path = step.path.format(upload=upload)
            answer = http.request(step.method, path, headers=step.headers, content=step.content)
            if "location" in answer.headers:
                upload = httpx2.URL(answer.headers["location"]).path
            headers = {k: answer.headers[k] for k in COMPARED if k in answer.headers}
            answers.append((answer.status_code, headers))
    return answers


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_docmill_answers_as_the_reference_does(
    docmill: Docmill, oracle: Oracle, scenario: str
) -> None:
    steps = SCENARIOS[scenario]
    ours, theirs = played(docmill.url, steps), played(oracle.url, steps)
    for number, (mine, its) in enumerate(zip(ours, theirs, strict=True)):
        what = f"step {number}: {steps[number].method}, docmill {mine}, reference {its}"
        statuses = (mine[0], its[0])
        assert statuses == OTHERWISE.get((scenario, number), (its[0], its[0])), what
        if mine[0] == its[0] and mine[0] < 300:
            assert mine[1] == its[1], what
