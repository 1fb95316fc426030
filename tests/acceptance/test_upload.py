"""Sending a file in one request: repeated safely, checked on the way, recognised when known."""

import base64
import hashlib
import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from running import Docmill, until

PERMANENT = b"%PDF-1.7 broken "


def send(docmill: Docmill, content: bytes, name: str = "a.txt", **options: Any) -> httpx2.Response:
    """Send a file as a form; `data` are fields, `headers` headers."""
    return docmill.http.post("/documents", files={"file": (name, content)}, **options)


def some(text: str = "") -> bytes:
    return f"{uuid4().hex} {text}".encode()


# duplicates ------------------------------------------------------------------------------


def test_same_bytes_are_the_document_that_is_here(docmill: Docmill) -> None:
    content = some()
    first = send(docmill, content)
    again = send(docmill, content, "another name.txt")
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["outcome"] == "accepted"
    assert again.json()["outcome"] == "existing"
    assert again.json()["document_id"] == first.json()["document_id"]
    assert first.json()["sha256"] == hashlib.sha256(content).hexdigest()
    docmill.completed(first.json()["document_id"])
    jobs = docmill.http.get(f"/documents/{first.json()['document_id']}/jobs").json()["jobs"]
    assert [job["stage"] for job in jobs] == ["parse", "chunk", "embed"]


def test_same_bytes_in_another_collection_are_another_document(docmill: Docmill) -> None:
    content = some()
    ids = {
        send(docmill, content, data={"collection": f"{n} {content.decode()}"}).json()["document_id"]
        for n in range(3)
    }
    assert len(ids) == 3


def test_same_bytes_sent_together_become_one_document(docmill: Docmill) -> None:
    content = some() * 40_000
    answers: list[httpx2.Response] = []
    senders = [
        threading.Thread(target=lambda: answers.append(send(docmill, content))) for _ in range(6)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [202]
    assert len({answer.json()["document_id"] for answer in answers}) == 1


def test_duplicate_is_refused_where_that_is_asked_for(docmill: Docmill) -> None:
    content = some()
    first = send(docmill, content).json()
    again = send(docmill, content, data={"on_duplicate": "error"})
    assert (again.status_code, again.json()["code"]) == (409, "DUPLICATE")
    assert again.json()["document_id"] == first["document_id"]


def test_file_that_can_not_be_read_is_remembered_and_does_not_loop(docmill: Docmill) -> None:
    content = PERMANENT + some()
    first = docmill.ended(send(docmill, content, "a.pdf").json()["document_id"])
    for _ in range(3):
        again = send(docmill, content, "a.pdf")
        assert (again.status_code, again.json()["status"]) == (200, "failed")
    after = docmill.status(first["document_id"])
    assert after["version"] == first["version"]


def test_cancelled_document_sent_again_goes_on(docmill: Docmill) -> None:
    content = some() * 100_000
    document_id = send(docmill, content).json()["document_id"]
    docmill.http.post(f"/documents/{document_id}/cancel")
    if docmill.status(document_id)["status"] == "cancelled":
        again = send(docmill, content)
        assert (again.status_code, again.json()["outcome"]) == (202, "retried")
    docmill.completed(document_id)


# external ids ----------------------------------------------------------------------------


def test_new_version_takes_the_place_of_the_old_one_in_one_step(docmill: Docmill) -> None:
    mine = {"external_id": uuid4().hex}
    old, new = some("the old text"), some("the new text " * 20_000)
    first = send(docmill, old, "old.txt", data=mine).json()["document_id"]
    docmill.completed(first)
    answer = send(docmill, new, "new.txt", data=mine)
    assert (answer.status_code, answer.json()["outcome"]) == (202, "replaced")
    assert answer.json()["document_id"] == first
    seen = []

    def replaced() -> bool:
        hits = {hit["filename"] for hit in docmill.search(old.decode(), mode="text")
                if hit["document_id"] == first}  # fmt: skip
        seen.append((hits, docmill.http.get(f"/documents/{first}/content").content))
        return docmill.status(first)["done"] is True

    until(replaced, "the new version is complete")
    for hits, content in seen[:-1]:
        assert hits <= {"old.txt", "new.txt"}
        assert content in {old, new}
    assert docmill.status(first)["status"] == "completed"
    assert docmill.http.get(f"/documents/{first}/content").content == new
    assert docmill.search(old.decode().split()[0], mode="text") == []


def test_old_version_goes_on_serving_when_the_new_one_fails(docmill: Docmill) -> None:
    mine = {"external_id": uuid4().hex}
    old = some("what is known")
    document_id = send(docmill, old, "old.txt", data=mine).json()["document_id"]
    docmill.completed(document_id)
    assert send(docmill, PERMANENT + some(), "new.pdf", data=mine).status_code == 202
    status = docmill.ended(document_id)
    assert (status["status"], status["error"]["code"]) == ("failed", "FILE_UNREADABLE")
    assert status["searchable"]
    (hit,) = docmill.search(old.decode().split()[0], mode="text")
    assert (hit["document_id"], hit["filename"]) == (document_id, "old.txt")
    assert docmill.http.get(f"/documents/{document_id}/content").content == old
    # And a third version mends it.
    third = some("mended")
    send(docmill, third, "third.txt", data=mine)
    docmill.completed(document_id)
    assert docmill.http.get(f"/documents/{document_id}/content").content == third


def test_version_that_comes_while_another_is_in_work_wins(docmill: Docmill) -> None:
    mine = {"external_id": uuid4().hex}
    versions = [some(f"version {n} ") * 20_000 for n in range(4)]
    ids = {send(docmill, content, data=mine).json()["document_id"] for content in versions}
    (document_id,) = ids
    status = docmill.completed(document_id)
    assert status["generation"] == 4
    assert docmill.http.get(f"/documents/{document_id}/content").content == versions[-1]
    assert docmill.http.delete(f"/documents/{document_id}").status_code == 204


def test_new_version_is_not_taken_where_the_existing_one_is_asked_for(docmill: Docmill) -> None:
    mine = {"external_id": uuid4().hex}
    old = some()
    document_id = docmill.upload("a.txt", old, **mine)
    docmill.completed(document_id)
    answer = send(docmill, some(), data={**mine, "on_duplicate": "return_existing"})
    assert (answer.status_code, answer.json()["outcome"]) == (200, "existing")
    assert docmill.http.get(f"/documents/{document_id}/content").content == old


# idempotency -----------------------------------------------------------------------------


def test_request_that_is_repeated_with_its_key_is_done_once_and_answered_alike(
    docmill: Docmill,
) -> None:
    content, key = some(), {"Idempotency-Key": uuid4().hex}
    first = send(docmill, content, headers=key)
    docmill.completed(first.json()["document_id"])
    again = send(docmill, content, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


@pytest.mark.parametrize("change", [("b.txt", b""), ("a.txt", b"more")])
def test_key_that_was_used_for_something_else_is_refused(
    docmill: Docmill, change: tuple[str, bytes]
) -> None:
    content, key = some(), {"Idempotency-Key": uuid4().hex}
    send(docmill, content, headers=key)
    name, more = change
    again = send(docmill, content + more, name, headers=key)
    assert (again.status_code, again.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_key_of_a_request_that_was_refused_can_be_used_for_the_mended_one(
    docmill: Docmill,
) -> None:
    key = {"Idempotency-Key": f'"{uuid4()}"'}
    assert send(docmill, b"", headers=key).json()["code"] == "FILE_EMPTY"
    assert send(docmill, some(), headers=key).status_code == 202


def test_same_key_is_refused_while_its_first_request_runs(docmill: Docmill) -> None:
    key = uuid4().hex
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        + (content := some() * 1000)
        + b"\r\n--XX--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=XX", "Idempotency-Key": key}
    server = urlsplit(docmill.url)
    with socket.create_connection((server.hostname, server.port), timeout=60) as first:
        sent = {**headers, "Host": server.netloc, "Content-Length": str(len(body))}
        lines = [f"{name}: {value}" for name, value in sent.items()]
        head = ["POST /documents HTTP/1.1", "Expect: 100-continue", "Connection: close", *lines]
        first.sendall("\r\n".join([*head, "", ""]).encode())
        # It is asked for its body, so it has the key.
        assert first.recv(1000).startswith(b"HTTP/1.1 100 ")
        answer = docmill.http.post("/documents", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_KEY_IN_USE")
        assert int(answer.headers["retry-after"]) > 0
        first.sendall(body)
        said = b"".join(iter(lambda: first.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 202 ")
    answered = json.loads(said.partition(b"\r\n\r\n")[2])
    assert send(docmill, content, headers={"Idempotency-Key": key}).json() == answered


@pytest.mark.parametrize("key", ["x" * 256, "ä", "two words", ""])
def test_key_that_is_none_is_refused(docmill: Docmill, key: str) -> None:
    answer = send(docmill, some(), headers={"Idempotency-Key": key.encode()})
    if key:
        assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    else:
        assert answer.status_code == 202


# digests ---------------------------------------------------------------------------------


def digest(name: str, content: bytes) -> str:
    hashed = hashlib.new(name.replace("-", "")[:6], content).digest()
    return f"{name}=:{base64.b64encode(hashed).decode()}:"


def raw(docmill: Docmill, content: bytes, **headers: str) -> httpx2.Response:
    named = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": "attachment; filename*=UTF-8''na%C3%AFve.txt",
    }
    return docmill.http.post("/documents", content=content, headers={**named, **headers})


@pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
@pytest.mark.parametrize("name", ["sha-256", "sha-512"])
def test_digest_that_holds_is_taken_and_one_that_does_not_is_refused(
    docmill: Docmill, header: str, name: str
) -> None:
    content = some() * 50_000
    wrong = raw(docmill, content, **{header: digest(name, content + b"!")})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "DIGEST_MISMATCH")
    right = raw(docmill, content, **{header: f"unixsum=:AAAA:, {digest(name, content)}"})
    assert right.status_code == 202
    assert right.json()["outcome"] == "accepted", "nothing of the wrong one was kept"
    assert right.headers["want-repr-digest"] == "sha-256=10, sha-512=1"
    document_id = right.json()["document_id"]
    assert docmill.status(document_id)["filename"] == "naïve.txt"
    answer = docmill.http.get(f"/documents/{document_id}/content")
    assert answer.headers["repr-digest"] == digest("sha-256", content)


def test_digest_of_a_form_is_that_of_the_whole_body(docmill: Docmill) -> None:
    head = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    body = head + some() + b"\r\n--XX--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    for of, status in ((body + b"x", 400), (body, 202)):
        answer = docmill.http.post(
            "/documents", content=body, headers={**headers, "Content-Digest": digest("sha-256", of)}
        )
        assert answer.status_code == status


@pytest.mark.parametrize("value", ["sha-256=abc", "sha-256=:!!!:", "sha-256=:QQ==:", "?"])
def test_digest_that_can_not_be_read_is_refused(docmill: Docmill, value: str) -> None:
    answer = raw(docmill, some(), **{"Content-Digest": value})
    assert (answer.status_code, answer.json()["code"]) == (400, "DIGEST_INVALID")


# a body that is the file -----------------------------------------------------------------


def test_fields_of_a_raw_body_stand_in_the_query(docmill: Docmill) -> None:
    mine = uuid4().hex
    answer = docmill.http.post(
        "/documents",
        params={"collection": mine, "metadata": '{"volume": 3}', "priority": "high"},
        content=some(),
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="plain.txt"',
        },
    )
    assert answer.status_code == 202
    shown = docmill.http.get(answer.json()["links"]["self"]).json()
    assert (shown["filename"], shown["collection"]) == ("plain.txt", mine)
    assert (shown["metadata"], shown["priority"]) == ({"volume": 3}, "high")


def test_raw_body_without_a_name_is_refused(docmill: Docmill) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    answer = docmill.http.post("/documents", content=some(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "FILE_MISSING")
