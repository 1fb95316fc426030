"""The native API, from outside: what the contract promises."""

import hashlib
import json
import socket
import threading
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from made_files import pdf
from running import Docmill, until

UNKNOWN = "00000000-0000-4000-8000-00000000dead"


def words(*extra: str) -> str:
    """A text that no other test has."""
    return " ".join([uuid4().hex, *extra])


# the path --------------------------------------------------------------------------------


def test_text_becomes_searchable_with_every_stage_told(docmill: Docmill) -> None:
    said = words("the harbour master keeps a ledger of tides")
    document_id = docmill.upload("tides.txt", said.encode())
    status = docmill.completed(document_id)
    assert status["progress"] == {
        "percent": 100.0,
        "parse": {"done": 1, "total": 1, "unit": "page"},
        "chunk": {"done": 1, "total": 1, "unit": "chunk"},
        "embed": {"done": 1, "total": 1, "unit": "chunk"},
    }
    assert list(status["stages"]) == ["parse", "chunk", "embed"]
    hit = docmill.search(said)[0]
    assert hit["document_id"] == document_id
    assert hit["text"] == said
    assert (hit["page_first"], hit["page_last"]) == (1, 1)
    assert (hit["char_start"], hit["char_end"]) == (0, len(said))


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_every_search_mode_finds_it(docmill: Docmill, mode: str) -> None:
    said = words("granite quarry above the village")
    document_id = docmill.upload("quarry.md", said.encode())
    docmill.completed(document_id)
    hits = docmill.search(said, mode=mode)
    assert document_id in {hit["document_id"] for hit in hits}
    absent = {"vector": "text", "text": "vector"}.get(mode)
    if absent:
        assert hits[0]["scores"][absent] is None


def test_hits_name_the_page_and_the_place_in_the_text(docmill: Docmill) -> None:
    mark = uuid4().hex
    pages = [f"page {number} of the book. " + "filler words " * 60 for number in range(1, 6)]
    pages[3] += f" {mark}"
    document_id = docmill.upload("book.pdf", pdf(*pages))
    docmill.completed(document_id)
    hit = docmill.search(mark)[0]
    assert hit["page_first"] <= 4 <= hit["page_last"]
    listed = docmill.http.get(f"/documents/{document_id}/pages").json()["pages"]
    text = "\n\n".join(page["text"] for page in listed)
    assert text[hit["char_start"] : hit["char_end"]] == hit["text"]
    assert [text[page["char_start"] : page["char_end"]] for page in listed] == [
        page["text"] for page in listed
    ]


def test_audit_trail_has_one_attempt_per_job_of_an_undisturbed_document(
    docmill: Docmill,
) -> None:
    document_id = docmill.upload("a.txt", words("audit").encode())
    docmill.completed(document_id)
    jobs = docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    assert [(job["stage"], job["status"], job["done"], job["total"]) for job in jobs] == [
        ("parse", "succeeded", 1, 1),
        ("chunk", "succeeded", 1, 1),
        ("embed", "succeeded", 1, 1),
    ]
    assert [[a["outcome"] for a in job["attempts"]] for job in jobs] == [["succeeded"]] * 3
    assert "lease_token" not in json.dumps(jobs)


def test_status_of_a_document_that_failed_says_why_and_what_to_do(docmill: Docmill) -> None:
    document_id = docmill.upload("noise.bin", bytes(range(256)) * 4)
    status = docmill.ended(document_id)
    assert (status["status"], status["error"]["code"]) == ("failed", "TYPE_UNSUPPORTED")
    assert status["error"]["detail"].endswith(".")
    assert status["progress"]["percent"] < 100
    assert status["completed_at"] is None


def test_original_bytes_come_back_in_whole_and_in_ranges(docmill: Docmill) -> None:
    content = b"".join(hashlib.sha256(n.to_bytes(4)).digest() for n in range(90_000))
    document_id = docmill.upload("big.bin", content)
    where = f"/documents/{document_id}/content"
    whole = docmill.http.get(where)
    assert whole.content == content
    assert whole.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert whole.headers["content-disposition"].startswith("attachment;")
    part = docmill.http.get(where, headers={"Range": "bytes=1048570-1048585"})
    assert (part.status_code, part.content) == (206, content[1048570:1048586])
    tail = docmill.http.get(where, headers={"Range": "bytes=-10"})
    assert tail.content == content[-10:]
    beyond = docmill.http.get(where, headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "RANGE_INVALID")
    docmill.http.delete(f"/documents/{document_id}")  # reading it would take the others' time


# refusals --------------------------------------------------------------------------------

LONG_NAME = "a" * 10_000 + ".txt"
BAD_NAMES = {
    "FILENAME_HAS_PATH": ["../../etc/passwd", "a/b.txt", "a\\b.txt", "..", " "],
    "FILENAME_HAS_CONTROL_CHARACTERS": ["a\tb.txt", "a\x07.txt", "a\u202efdp.exe", "a\x00.txt"],
    "FILENAME_TOO_LONG": [LONG_NAME, "ä" * 200 + ".txt", "a" + "\u0323\u0301" * 9000],
}


def multipart(name: str, content: bytes, field: str = "file") -> tuple[bytes, dict[str, str]]:
    head = f'--XX\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--XX--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=XX"}


def newest(docmill: Docmill) -> list[str]:
    page = docmill.http.get("/documents", params={"page_size": 1}).json()
    return [document["document_id"] for document in page["documents"]]


def refused(docmill: Docmill, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    before = newest(docmill)
    answer = docmill.http.post("/documents", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert newest(docmill) == before, "something was left behind"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    return problem


@pytest.mark.parametrize(
    ("code", "name"), [(code, name) for code, names in BAD_NAMES.items() for name in names]
)
def test_bad_file_name_is_refused_by_its_own_code(docmill: Docmill, code: str, name: str) -> None:
    assert refused(docmill, *multipart(name.replace("\\", "\\\\"), b"text"))["code"] == code


def test_empty_file_is_refused(docmill: Docmill) -> None:
    assert refused(docmill, *multipart("empty.txt", b""))["code"] == "FILE_EMPTY"


def test_form_without_a_file_is_refused(docmill: Docmill) -> None:
    assert refused(docmill, *multipart("a.txt", b"x", field="other"))["code"] == "FILE_MISSING"


def test_second_file_is_refused(docmill: Docmill) -> None:
    body, headers = multipart("a.txt", b"x")
    twice = body.replace(b"--XX--\r\n", b"") + body
    assert refused(docmill, twice, headers)["code"] == "TOO_MANY_FILES"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ncut o',
        b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--\r\n",
        b'--XX\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--XX--\r\n',
    ],
    ids=["empty", "no boundary", "cut off", "nameless part", "name not UTF-8"],
)
def test_broken_multipart_is_refused(docmill: Docmill, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    assert refused(docmill, body, headers)["code"] == "MULTIPART_BROKEN"


def test_other_content_type_is_refused(docmill: Docmill) -> None:
    problem = refused(docmill, b"{}", {"Content-Type": "application/json"})
    assert (problem["code"], problem["status"]) == ("MEDIA_TYPE_UNSUPPORTED", 415)


def test_too_large_is_refused_by_its_length_before_it_is_read(docmill: Docmill) -> None:
    host, port = docmill.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(
            b"POST /documents HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
            b"Content-Type: multipart/form-data; boundary=XX\r\n"
            b"Content-Length: 1000000000000\r\n\r\n"
        )
        answer = client.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 413 "), "no 100 Continue before it"
    assert '"max_size":50000000' in answer


def test_too_large_without_a_length_is_refused_and_leaves_no_bytes(docmill: Docmill) -> None:
    head, headers = multipart("big.txt", b"")
    opening = head.split(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def stream() -> Any:
        yield opening
        for _ in range(51):
            yield b"x" * 1_000_000

    answer = docmill.http.post("/documents", content=stream(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "FILE_TOO_LARGE")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", "[1]"),
        ("metadata", "{"),
        ("priority", "urgent"),
        ("collection", "c" * 201),
        ("external_id", "\x00"),
    ],
)
def test_wrong_field_is_refused(docmill: Docmill, field: str, value: str) -> None:
    answer = docmill.http.post(
        "/documents", files={"file": ("a.txt", b"text")}, data={field: value}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "FIELD_INVALID")
    assert field in answer.json()["detail"]


def test_priority_is_taken_and_told(docmill: Docmill) -> None:
    plain, urgent = docmill.upload("a.txt", b"a"), docmill.upload("b.txt", b"b", priority="high")
    told = [docmill.http.get(f"/documents/{one}").json()["priority"] for one in (plain, urgent)]
    assert told == ["normal", "high"]


# truth -----------------------------------------------------------------------------------


def test_unchanged_status_is_304(docmill: Docmill) -> None:
    document_id = docmill.upload("a.txt", words("etag").encode())
    docmill.completed(document_id)
    first = docmill.http.get(f"/documents/{document_id}/status")
    again = docmill.http.get(
        f"/documents/{document_id}/status", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


def test_waiting_answers_when_the_document_changes(docmill: Docmill) -> None:
    document_id = docmill.upload("long.pdf", pdf(*(f"page {n}" for n in range(400))))
    answers = []
    while True:
        answer = docmill.http.get(f"/documents/{document_id}/status", headers={"Prefer": "wait=25"})
        assert answer.headers["preference-applied"] == "wait=25"
        answers.append(answer.json())
        if answers[-1]["done"]:
            break
    versions = [answer["version"] for answer in answers]
    assert versions == sorted(set(versions)), "each answer told something new"


def test_percent_never_goes_back_and_every_number_is_committed(docmill: Docmill) -> None:
    document_id = docmill.upload("steps.pdf", pdf(*(f"page {n} " * 30 for n in range(500))))
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        seen.append(docmill.status(document_id))
        return bool(seen[-1]["done"])

    until(look, "the document ends")
    percents = [status["progress"]["percent"] for status in seen]
    assert percents == sorted(percents)
    assert all(
        (p == 100) == (s["status"] == "completed") for p, s in zip(percents, seen, strict=True)
    )
    for status in seen:
        for stage in ("parse", "chunk", "embed"):
            count = status["progress"][stage]
            assert count["total"] is None or count["done"] <= count["total"]
    jobs = docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    assert sum(job["done"] for job in jobs if job["stage"] == "parse") == 500
    assert len([job for job in jobs if job["stage"] == "parse"]) == 5


def test_unknown_ids_are_all_the_same_404(docmill: Docmill) -> None:
    bodies = set()
    for verb, path in [
        ("GET", ""),
        ("GET", "/status"),
        ("GET", "/jobs"),
        ("GET", "/pages"),
        ("GET", "/chunks"),
        ("GET", "/content"),
        ("POST", "/retry"),
        ("POST", "/cancel"),
        ("POST", "/reprocess"),
        ("DELETE", ""),
    ]:
        for unknown in (UNKNOWN, "not-an-id"):
            answer = docmill.http.request(verb, f"/documents/{unknown}{path}")
            assert answer.status_code == 404
            bodies.add(json.dumps({**answer.json(), "instance": ""}))
    assert len(bodies) == 1


# lists -----------------------------------------------------------------------------------


def test_list_pages_through_everything_once_and_newest_first(docmill: Docmill) -> None:
    collection = uuid4().hex
    made = [
        docmill.upload(f"{n}.txt", words("list").encode(), collection=collection) for n in range(7)
    ]
    seen, token = [], ""
    while True:
        page = docmill.http.get(
            "/documents",
            params={"collection": collection, "page_size": 3, "page_token": token},
        ).json()
        seen += [document["document_id"] for document in page["documents"]]
        if not (token := page["next_page_token"]):
            break
    assert seen == made[::-1]


def test_token_of_another_list_is_refused(docmill: Docmill) -> None:
    for _ in range(2):
        docmill.upload("a.txt", words("token").encode())
    token = docmill.http.get("/documents", params={"page_size": 1}).json()["next_page_token"]
    for params in ({"page_token": token, "status": "failed"}, {"page_token": "rubbish"}):
        answer = docmill.http.get("/documents", params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, "PAGE_TOKEN_INVALID")


def test_many_documents_are_polled_at_once(docmill: Docmill) -> None:
    made = [docmill.upload("a.txt", words("many").encode()) for _ in range(3)]
    for document_id in made:
        docmill.completed(document_id)
    where = {"ids": ",".join([*made, UNKNOWN])}
    answer = docmill.http.get("/documents", params=where)
    assert {document["document_id"] for document in answer.json()["documents"]} == set(made)
    again = docmill.http.get(
        "/documents", params=where, headers={"If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


# control ---------------------------------------------------------------------------------


def test_cancelled_document_stops_and_a_retry_completes_it(docmill: Docmill) -> None:
    document_id = docmill.upload("long.pdf", pdf(*(f"page {n} " * 50 for n in range(1500))))
    docmill.begun(document_id)
    answer = docmill.http.post(f"/documents/{document_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    stopped = docmill.status(document_id)
    assert docmill.http.post(f"/documents/{document_id}/cancel").status_code == 202
    assert docmill.status(document_id)["version"] == stopped["version"]
    assert docmill.http.post(f"/documents/{document_id}/retry").status_code == 202
    status = docmill.completed(document_id)
    assert status["progress"]["parse"]["done"] == 1500
    assert status["version"] > stopped["version"]


def test_only_an_ended_document_can_be_retried(docmill: Docmill) -> None:
    document_id = docmill.upload("a.txt", words("retry").encode())
    docmill.completed(document_id)
    answer = docmill.http.post(f"/documents/{document_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "DOCUMENT_NOT_FAILED")


def test_reprocessed_document_is_found_all_the_while(docmill: Docmill) -> None:
    said = words("reprocess me")
    document_id = docmill.upload("a.txt", said.encode())
    docmill.completed(document_id)
    assert docmill.http.post(f"/documents/{document_id}/reprocess").status_code == 202
    generations = set()

    def look() -> bool:
        hits = [hit for hit in docmill.search(said) if hit["document_id"] == document_id]
        assert len(hits) == 1
        generations.add(hits[0]["chunk_id"].split(".")[1])
        return "2" in generations

    until(look, "the new generation serves")
    assert docmill.completed(document_id)["generation"] == 2


def test_deleted_document_is_gone_everywhere(docmill: Docmill) -> None:
    said = words("delete me")
    document_id = docmill.upload("a.txt", said.encode())
    docmill.completed(document_id)
    assert docmill.http.delete(f"/documents/{document_id}").status_code == 204
    assert docmill.http.get(f"/documents/{document_id}").status_code == 404
    assert document_id not in {hit["document_id"] for hit in docmill.search(said)}


def test_document_is_deleted_while_it_is_processed(docmill: Docmill) -> None:
    document_id = docmill.upload("long.pdf", pdf(*(f"page {n} " * 50 for n in range(1000))))
    docmill.begun(document_id)
    assert docmill.http.delete(f"/documents/{document_id}").status_code == 204
    assert docmill.http.get(f"/documents/{document_id}/status").status_code == 404


def test_same_bytes_are_kept_until_their_last_document_is_deleted(docmill: Docmill) -> None:
    content = words("shared bytes").encode()
    first, second = (docmill.upload(f"{n}.txt", content, external_id=words()) for n in range(2))
    docmill.completed(first)
    docmill.completed(second)
    docmill.http.delete(f"/documents/{first}")
    assert docmill.http.get(f"/documents/{second}/content").content == content


def test_same_bytes_sent_at_the_same_moment_are_all_accepted(docmill: Docmill) -> None:
    content = words("at once").encode() * 50_000
    made: list[str] = []
    senders = [
        threading.Thread(
            target=lambda n=n: made.append(
                docmill.upload(f"{n}.txt", content, external_id=f"{n} {content[:40]!r}")
            )
        )
        for n in range(6)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(set(made)) == 6


# search ----------------------------------------------------------------------------------


def test_search_keeps_to_a_collection_and_to_metadata(docmill: Docmill) -> None:
    said = words("kept apart")
    mine, other = uuid4().hex, uuid4().hex
    wanted = docmill.upload("a.txt", said.encode(), collection=mine, metadata='{"year": 2026}')
    docmill.completed(wanted)
    docmill.completed(docmill.upload("b.txt", said.encode(), collection=other))
    for limit in ({"collection": mine}, {"filters": {"year": 2026}}):
        assert {hit["document_id"] for hit in docmill.search(said, **limit)} == {wanted}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": ""},
        {"query": " "},
        {"query": "a", "mode": "magic"},
        {"query": "a", "limit": 0},
    ],
)
def test_wrong_search_is_refused_with_the_field_named(
    docmill: Docmill, body: dict[str, Any]
) -> None:
    answer = docmill.http.post("/search", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "FIELD_INVALID")
    assert answer.json()["errors"][0]["field"] in {"query", "mode", "limit"}


def test_search_without_a_word_finds_nothing_and_says_so(docmill: Docmill) -> None:
    assert docmill.search("!?", mode="text") == []


# the edge --------------------------------------------------------------------------------


def test_foreign_host_and_foreign_origin_are_refused(docmill: Docmill) -> None:
    rebound = docmill.http.get("/documents", headers={"Host": "evil.example"})
    assert (rebound.status_code, rebound.json()["code"]) == (421, "HOST_REFUSED")
    probed = docmill.http.get("/healthz", headers={"Host": "10.1.2.3:8000"})
    assert probed.json() == {"status": "alive"}
    forged = docmill.http.post(
        "/documents", files={"file": ("a.txt", b"x")}, headers={"Origin": "http://evil.example"}
    )
    assert (forged.status_code, forged.json()["code"]) == (403, "ORIGIN_REFUSED")


def test_healthy_and_ready_are_told_apart(docmill: Docmill) -> None:
    assert docmill.http.get("/healthz").json() == {"status": "alive"}
    ready = docmill.http.get("/readyz").json()
    assert ready["ready"]
    assert ready["missing"] == []
    assert set(ready["checks"]) == {"database", "migrations", "workers", "stages"}


def test_times_are_utc(docmill: Docmill) -> None:
    document_id = docmill.upload("a.txt", words("time").encode())
    status = docmill.completed(document_id)
    created, completed = (
        datetime.fromisoformat(status[name]) for name in ("created_at", "completed_at")
    )
    assert created.utcoffset() == completed.utcoffset()
    assert created <= completed
