"""docmill answers as it describes itself, whatever is asked: by schemathesis, and member by member.

`make fuzz SECONDS=600` goes on for as long, with other requests each time, and tries every boundary
of every parameter.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarded import Guarded, guarded_docmill
from made_files import docx
from running import Docmill

HOME = Path(__file__).parent.parent / "described"
SECONDS = os.environ.get("FUZZ_SECONDS")
# An endless answer, and one that takes as long as it is told to; both have tests of their own.
ENDLESS, SLOW = "/documents/events", "/internal/tick"
NO_JSON = {"/documents/{document_id}/content", "/metrics"}
CASES = re.compile(r"(\d+) generated, (\d+) passed")


def tried(url: str, folder: Path, phases: str, *options: str) -> int:
    """How many requests schemathesis made, all of which were answered as described."""
    quick = ["--seed", "20", "--no-shrink", "--phases", phases]
    lasting = ["--max-time", SECONDS] if SECONDS else quick
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--no-color"),
            *("--config-file", HOME / "schemathesis.toml"),
            *(
                "run",
                f"{url}/openapi.json",
                *("--exclude-path", ENDLESS, "--exclude-path", SLOW),
                "--request-timeout",
                "120",
            ),
            *lasting,
            *options,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HOME), "SCHEMATHESIS_HOOKS": "hooks"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout
    counted = CASES.search(ran.stdout)
    assert counted is not None
    assert counted[1] == counted[2]
    return int(counted[1])


@pytest.fixture(scope="module")
def guarded(admin_url: str) -> Iterator[Guarded]:
    with guarded_docmill(admin_url) as served:
        yield served


def test_every_answer_is_described(admin_url: str, tmp_path: Path) -> None:
    # One of its own: stages are paused and workers drained in it.
    with guarded_docmill(admin_url, DOCMILL_AUTH="none") as served:
        assert tried(served.docmill.url, tmp_path, "fuzzing,stateful") > 50


def test_every_answer_is_described_where_keys_are_asked_for(
    guarded: Guarded, tmp_path: Path
) -> None:
    header = f"Authorization: Bearer {guarded.key('somebody').text}"
    assert tried(guarded.docmill.url, tmp_path, "fuzzing,stateful", "-H", header) > 50


# members ---------------------------------------------------------------------------------


def described(docmill: Docmill) -> dict[str, Any]:
    shape: dict[str, Any] = docmill.http.get("/openapi.json").json()
    return shape


def undescribed(shown: Any, schema: dict[str, Any], parts: dict[str, Any]) -> set[str]:
    """The members of an answer that its schema has no word for."""
    if reference := schema.get("$ref"):
        return undescribed(shown, parts[reference.rpartition("/")[2]], parts)
    if isinstance(shown, list) and shown:
        return set().union(*(undescribed(one, schema.get("items", {}), parts) for one in shown))
    members = schema.get("properties")
    if not isinstance(shown, dict) or members is None:
        return set()
    inner = [undescribed(value, members.get(name, {}), parts) for name, value in shown.items()]
    return (set(shown) - set(members)).union(*inner)


def test_every_member_of_an_answer_is_described(docmill: Docmill) -> None:
    content = docx("the harbour master", "the lighthouse")
    sent = {"file": ("members.docx", content)}
    accepted = docmill.http.post("/documents", files=sent, data={"collection": "members"})
    document = accepted.json()["document_id"]
    docmill.completed(document)
    # Nothing is sent there: no document is cancelled here.
    hook = {"url": "https://8.8.8.8/", "events": ["document.cancelled"]}
    added = docmill.http.post("/webhooks", json=hook)
    webhook = added.json()["id"]
    api = described(docmill)
    seen = [("post", "/documents", accepted.json()), ("post", "/webhooks", added.json())]
    for path in api["paths"]:
        if "get" in api["paths"][path] and path not in {ENDLESS, *NO_JSON}:
            answer = docmill.http.get(
                path.format(document_id=document, webhook_id=webhook), params={"summary": True}
            )
            seen.append(("get", path, answer.json()))
    found = docmill.http.post("/search", json={"query": "harbour"}).json()
    seen.append(("post", "/search", found))
    assert found["hits"]
    assert len(seen) >= 15
    assert docmill.http.delete(f"/webhooks/{webhook}").status_code == 204
    for verb, path, shown in seen:
        answers = api["paths"][path][verb]["responses"]
        (good,) = [answers[code] for code in ("202", "201", "200") if code in answers][:1]
        schema = good["content"]["application/json"]["schema"]
        assert undescribed(shown, schema, api["components"]["schemas"]) == set(), path


def test_description_says_who_may_ask(docmill: Docmill, guarded: Guarded) -> None:
    asked = guarded.somebody("read").http.get("/openapi.json").json()
    assert asked["paths"]["/documents"]["get"]["security"] == [{"bearer": []}, {"session": []}]
    assert "401" in asked["paths"]["/documents"]["get"]["responses"]
    assert asked["paths"]["/healthz"]["get"]["security"] == []
    assert described(docmill)["paths"]["/documents"]["get"]["security"] == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/documents", "GET, POST"),
        ("PATCH", "/documents/x", "DELETE, GET"),
        ("TRACE", "/uploads/x", "DELETE, HEAD, OPTIONS, PATCH"),
        ("PUT", "/search", "GET, POST"),
    ],
)
def test_refused_method_is_told_which_are_taken(
    docmill: Docmill, method: str, path: str, allowed: str
) -> None:
    answer = docmill.http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/operator/stages/parse", {"paused": 0}),
        ("/operator/stages/parse", {"max_running": "3"}),
        ("/operator/workers/x", {"draining": "yes"}),
        ("/operator/retry", {"code": "PARSER_DIED", "stage": "parse", "before": 0}),
        ("/search", {"query": "harbour", "limit": "3"}),
    ],
)
def test_value_of_another_type_is_refused(docmill: Docmill, path: str, body: Any) -> None:
    answer = docmill.http.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "FIELD_INVALID")
