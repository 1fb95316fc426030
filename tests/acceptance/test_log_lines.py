"""The log of a whole docmill as JSON: every line, of every process, says what it is about."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from docmill.database import Addresses, Sync
from made_files import noise
from running import Docmill, Started, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-00"
NOT_OF_THE_STANDARD = [
    ["nonsense"],
    [PARENT.upper()],
    [f"00-{'0' * 32}-b7ad6b7169203331-01"],
    [f"00-{TRACE}-{'0' * 16}-01"],
    [f"ff-{TRACE}-b7ad6b7169203331-01"],
    [f"{PARENT}-more"],
    [PARENT, PARENT],
    ["\xff" * 55],
]


@pytest.fixture
def logged(addresses: Addresses) -> Iterator[Docmill]:
    assert addresses.admin is not None
    env = {"DOCMILL_DATABASE_URL": addresses.admin, "DOCMILL_LOG_LEVEL": "debug"}
    docmill = Docmill(None, "--log-format", "json", env=env)
    yield docmill
    docmill.stop()


def lines(process: Started) -> list[dict[str, Any]]:
    """All that was said, each line of it an object."""
    return [json.loads(line) for line in process.said]


def upload(docmill: Docmill, name: str, content: bytes, *traces: str) -> str:
    headers = [(b"traceparent", trace.encode("latin-1")) for trace in traces]
    answer = docmill.http.post("/documents", files={"file": (name, content)}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["document_id"])


def test_a_document_is_followed_by_its_id_and_its_trace_through_all_processes(
    logged: Docmill,
) -> None:
    document_id = upload(logged, "noise.bin", noise(), PARENT)
    logged.ended(document_id)

    def of_it() -> list[dict[str, Any]] | None:
        found = [line for line in lines(logged.started) if line.get("document_id") == document_id]
        return found if any("TYPE_UNSUPPORTED" in line["message"] for line in found) else None

    found = until(of_it, "the log has come through its pipe")
    assert {line.get("trace_id") for line in found} == {TRACE}
    assert len({line["process"] for line in found}) == 2
    assert {line["owner_id"] for line in found} == {"00000000-0000-4000-8000-000000000001"}
    failed = next(line for line in found if "TYPE_UNSUPPORTED" in line["message"])
    assert (failed["stage"], failed["attempt"], failed["level"]) == ("parse", 1, "info")
    assert isinstance(failed["job_id"], int)
    assert failed["worker"]


def test_trace_is_the_one_that_the_request_names_as_the_standard_has_it(
    logged: Docmill, admin: Sync
) -> None:
    def kept(*traces: str) -> str:
        document_id = upload(logged, "a.txt", uuid4().hex.encode(), *traces)
        row = admin.execute(
            "select traceparent from documents where id = %s", [document_id]
        ).fetchone()
        return str((row or {})["traceparent"])

    assert kept(PARENT) == PARENT
    assert kept(f"cc{PARENT[2:]}-what-comes") == PARENT, "a later version is gone on with"
    for wrong in NOT_OF_THE_STANDARD:
        assert kept(*wrong).startswith("00-")
        assert TRACE not in kept(*wrong), wrong
    assert kept() != kept()


def test_work_that_is_asked_for_anew_has_a_trace_of_its_own(logged: Docmill, admin: Sync) -> None:
    document_id = upload(logged, "a.txt", uuid4().hex.encode(), PARENT)
    logged.completed(document_id)
    assert logged.http.post(f"/documents/{document_id}/reprocess").status_code == 202
    row = admin.execute("select traceparent from documents where id = %s", [document_id]).fetchone()
    assert TRACE not in (row or {})["traceparent"]


def test_last_words_are_json_too(addresses: Addresses) -> None:
    env = {"DOCMILL_WORKER_DATABASE_URL": addresses.worker, "DOCMILL_LOG_FORMAT": "json"}
    worker = Started("worker", "--metrics-port", "0", env=env)
    port = worker.says(r"http://127.0.0.1:(\d+)/metrics")[1]
    second = Started("worker", "--metrics-port", port, env=env)
    assert second.wait() == 69
    last = lines(second)[-1]
    assert (last["level"], "can't be listened on" in last["message"]) == ("critical", True)
    assert worker.terminate() == 0
    assert lines(worker)
