"""Resumable uploads by the letter of tus 1.0, and by what clients of it need."""

import base64
import hashlib
import os
import socket
import threading
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from running import Docmill, until

TUS = {"Tus-Resumable": "1.0.0"}
SLICE = {**TUS, "Content-Type": "application/offset+octet-stream"}
MIB = 1 << 20


def metadata(**pairs: str) -> str:
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in pairs.items())


def create(docmill: Docmill, length: int | None, **headers: str) -> httpx2.Response:
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    named = {"Upload-Metadata": metadata(filename="a.txt")}
    return docmill.http.post("/uploads", headers={**TUS, **size, **named, **headers})


def begun(docmill: Docmill, length: int | None, **headers: str) -> str:
    answer = create(docmill, length, **headers)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def patch(
    docmill: Docmill, where: str, offset: int, content: Any, **headers: str
) -> httpx2.Response:
    return docmill.http.patch(
        where, content=content, headers={**SLICE, "Upload-Offset": str(offset), **headers}
    )


def head(docmill: Docmill, where: str) -> httpx2.Response:
    return docmill.http.head(where, headers=TUS)


def offset(docmill: Docmill, where: str) -> int:
    return int(head(docmill, where).headers["upload-offset"])


def kept(docmill: Docmill, document_id: str) -> bytes:
    answer = docmill.http.get(f"/documents/{document_id}/content")
    assert answer.status_code == 200
    return bytes(answer.content)


def text(size: int) -> bytes:
    """A text of so many bytes that no other test has."""
    line = f"{uuid4().hex} words of an upload\n".encode()
    return (line * (size // len(line) + 1))[:size]


# the protocol ----------------------------------------------------------------------------


def test_server_says_what_it_can_do(docmill: Docmill) -> None:
    answer = docmill.http.options("/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-max-size"] == "50000000"
    assert set(answer.headers["tus-extension"].split(",")) == {
        "creation", "creation-with-upload", "creation-defer-length", "termination", "expiration",
        "checksum",
    }  # fmt: skip
    assert "sha1" in answer.headers["tus-checksum-algorithm"].split(",")


def test_file_in_slices_becomes_one_searchable_document(docmill: Docmill) -> None:
    content = text(3 * MIB + 5)
    where = begun(docmill, len(content))
    at, answer = 0, httpx2.Response(0)
    for size in (1, 700_000, MIB, len(content)):
        answer = patch(docmill, where, at, content[at : at + size])
        at = min(len(content), at + size)
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(at))
        assert answer.headers["tus-resumable"] == "1.0.0"
        looked = head(docmill, where)
        assert (looked.status_code, looked.headers["upload-offset"]) == (200, str(at))
        assert looked.headers["cache-control"] == "no-store"
        assert ("docmill-document-id" in answer.headers) == (at == len(content))
        assert ("upload-expires" in answer.headers) == (at < len(content))
    document_id = answer.headers["docmill-document-id"]
    assert head(docmill, where).headers["docmill-document-id"] == document_id
    assert docmill.completed(document_id)["filename"] == "a.txt"
    assert kept(docmill, document_id) == content


def test_creation_with_bytes_is_one_request(docmill: Docmill) -> None:
    content = text(1000)
    headers = {**SLICE, "Upload-Length": "1000", "Upload-Metadata": metadata(filename="b.txt")}
    answer = docmill.http.post("/uploads", content=content, headers=headers)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "1000")
    assert kept(docmill, answer.headers["docmill-document-id"]) == content


def test_length_may_be_said_later(docmill: Docmill) -> None:
    content = text(2000)
    where = begun(docmill, None)
    assert head(docmill, where).headers["upload-defer-length"] == "1"
    assert patch(docmill, where, 0, content[:1500]).status_code == 204
    answer = patch(docmill, where, 1500, content[1500:], **{"Upload-Length": "2000"})
    assert kept(docmill, answer.headers["docmill-document-id"]) == content


def test_length_may_be_said_when_all_bytes_are_there(docmill: Docmill) -> None:
    content = text(2000)
    where = begun(docmill, None)
    patch(docmill, where, 0, content)
    answer = patch(docmill, where, 2000, b"", **{"Upload-Length": "2000"})
    assert answer.status_code == 204
    assert kept(docmill, answer.headers["docmill-document-id"]) == content


def test_length_that_was_said_does_not_change(docmill: Docmill) -> None:
    where = begun(docmill, 2000)
    answer = patch(docmill, where, 0, b"x", **{"Upload-Length": "3000"})
    assert (answer.status_code, answer.json()["code"]) == (400, "UPLOAD_HEADER_INVALID")
    deferred = begun(docmill, None)
    patch(docmill, deferred, 0, b"xyz")
    short = patch(docmill, deferred, 3, b"", **{"Upload-Length": "2"})
    assert (short.status_code, short.json()["code"]) == (400, "UPLOAD_HEADER_INVALID")


def test_what_the_sender_says_arrives(docmill: Docmill) -> None:
    said = {
        "filename": "größe.txt", "filetype": "text/plain", "collection": uuid4().hex,
        "external_id": uuid4().hex, "priority": "low", "metadata": '{"year": 2026}',
        "relative_path": "a/b/größe.txt",
    }  # fmt: skip
    content = text(10)
    where = begun(docmill, 10, **{"Upload-Metadata": metadata(**said)})
    assert head(docmill, where).headers["upload-metadata"] == metadata(**said)
    document_id = patch(docmill, where, 0, content).headers["docmill-document-id"]
    shown = docmill.http.get(f"/documents/{document_id}").json()
    assert shown["filename"] == "größe.txt"
    assert shown["collection"] == said["collection"]
    assert shown["external_id"] == said["external_id"]
    assert shown["priority"] == "low"
    assert shown["metadata"] == {"year": 2026, "relative_path": "a/b/größe.txt"}


def test_metadata_may_be_missing(docmill: Docmill) -> None:
    answer = docmill.http.post("/uploads", headers={**TUS, "Upload-Length": "5"})
    assert answer.status_code == 201
    where = answer.headers["location"]
    assert "upload-metadata" not in head(docmill, where).headers
    done = patch(docmill, where, 0, os.urandom(5))
    assert docmill.status(done.headers["docmill-document-id"])["filename"] == "untitled"


def test_body_without_a_length_is_taken(docmill: Docmill) -> None:
    content = text(2 * MIB)
    where = begun(docmill, len(content))
    answer = patch(docmill, where, 0, (content[n : n + 9999] for n in range(0, 2 * MIB, 9999)))
    assert answer.status_code == 204
    assert kept(docmill, answer.headers["docmill-document-id"]) == content


def test_upload_that_is_ended_is_gone_and_a_finished_ones_document_stays(docmill: Docmill) -> None:
    where = begun(docmill, 100)
    patch(docmill, where, 0, b"x" * 50)
    assert docmill.http.delete(where, headers=TUS).status_code == 204
    assert head(docmill, where).status_code == 404
    assert patch(docmill, where, 50, b"x").status_code == 404
    assert docmill.http.delete(where, headers=TUS).status_code == 404
    content = text(100)
    finished = begun(docmill, 100)
    document_id = patch(docmill, finished, 0, content).headers["docmill-document-id"]
    assert docmill.http.delete(finished, headers=TUS).status_code == 204
    assert head(docmill, finished).status_code == 404
    assert kept(docmill, document_id) == content


def test_method_may_stand_in_a_header(docmill: Docmill) -> None:
    content = text(10)
    where = begun(docmill, 10)
    override = {**SLICE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = docmill.http.post(where, content=content, headers=override)
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "10")


# checksums -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("size", [1000, 2 * MIB + 7])
def test_slice_with_a_wrong_checksum_is_dropped_whole(
    docmill: Docmill, name: str, size: int
) -> None:
    first, content = text(100), text(size)
    where = begun(docmill, 100 + size)
    answer = patch(docmill, where, 0, first)
    for of, status in ((content[:-1] + b"!", 460), (content, 204)):
        checksum = base64.b64encode(hashlib.new(name, of).digest()).decode()
        assert offset(docmill, where) == 100
        answer = patch(docmill, where, 100, content, **{"Upload-Checksum": f"{name} {checksum}"})
        assert answer.status_code == status
    assert kept(docmill, answer.headers["docmill-document-id"]) == first + content


def unlocked(answer: httpx2.Response) -> httpx2.Response | None:
    """An answer, unless it is that another request has the upload still."""
    return None if answer.status_code == 423 else answer


def test_slice_with_a_checksum_counts_only_when_it_has_come_whole(docmill: Docmill) -> None:
    content = text(3 * MIB)
    where = begun(docmill, len(content))
    checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
    cut_off(docmill, where, content, send=2 * MIB + 10, checksum=f"sha256 {checksum}")
    assert offset(docmill, where) == 0
    other = text(len(content))
    answer = until(lambda: unlocked(patch(docmill, where, 0, other)), "the cut request has ended")
    assert answer.status_code == 204, answer.text
    assert kept(docmill, answer.headers["docmill-document-id"]) == other


@pytest.mark.parametrize("value", ["md5 abc", "sha1 !!!", "sha1 QQ==", "sha1"])
def test_checksum_that_can_not_be_used_is_refused(docmill: Docmill, value: str) -> None:
    where = begun(docmill, 100)
    answer = patch(docmill, where, 0, b"x", **{"Upload-Checksum": value})
    assert (answer.status_code, answer.json()["code"]) == (400, "DIGEST_INVALID")
    assert offset(docmill, where) == 0


# refusals --------------------------------------------------------------------------------


def test_other_version_is_refused_with_the_one_that_is_spoken(docmill: Docmill) -> None:
    for headers in ({}, {"Tus-Resumable": "0.2.2"}):
        answer = docmill.http.post("/uploads", headers={**headers, "Upload-Length": "5"})
        assert (answer.status_code, answer.headers["tus-version"]) == (412, "1.0.0")
        assert answer.json()["code"] == "TUS_VERSION_UNSUPPORTED"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "UPLOAD_HEADER_INVALID"),
        ({"Upload-Length": "x"}, 400, "UPLOAD_HEADER_INVALID"),
        ({"Upload-Length": "-1"}, 400, "UPLOAD_HEADER_INVALID"),
        ({"Upload-Length": "9" * 30}, 400, "UPLOAD_HEADER_INVALID"),
        ({"Upload-Length": "0"}, 422, "FILE_EMPTY"),
        ({"Upload-Length": "50000001"}, 413, "FILE_TOO_LARGE"),
        ({"Upload-Length": "5", "Upload-Metadata": "a !!!"}, 400, "UPLOAD_HEADER_INVALID"),
        ({"Upload-Length": "5", "Upload-Metadata": "a /w=="}, 422, "FIELD_INVALID"),
        ({"Upload-Length": "5", "Upload-Metadata": metadata(filename="../x")}, 422,
         "FILENAME_HAS_PATH"),
        ({"Upload-Length": "5", "Upload-Metadata": metadata(priority="now")}, 422, "FIELD_INVALID"),
    ],
)  # fmt: skip
def test_upload_that_can_not_be_is_refused(
    docmill: Docmill, headers: dict[str, str], status: int, code: str
) -> None:
    answer = docmill.http.post("/uploads", headers={**TUS, **headers})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert "location" not in answer.headers


def test_bytes_elsewhere_than_at_the_offset_are_refused(docmill: Docmill) -> None:
    where = begun(docmill, 100)
    patch(docmill, where, 0, b"x" * 10)
    for wrong in (0, 9, 11):
        answer = patch(docmill, where, wrong, b"y")
        assert (answer.status_code, answer.json()["code"]) == (409, "UPLOAD_OFFSET_WRONG")
        assert answer.json()["offset"] == 10
    assert docmill.http.patch(where, content=b"y", headers=SLICE).status_code == 400
    plain = {**TUS, "Upload-Offset": "10"}
    assert docmill.http.patch(where, content=b"y", headers=plain).status_code == 415
    assert offset(docmill, where) == 10


@pytest.mark.parametrize("chunked", [False, True])
def test_more_bytes_than_the_length_are_refused(docmill: Docmill, *, chunked: bool) -> None:
    where = begun(docmill, 100)
    content = text(3 * MIB)
    answer = patch(docmill, where, 0, iter([content]) if chunked else content)
    assert (answer.status_code, answer.json()["code"]) == (413, "UPLOAD_TOO_LONG")
    assert offset(docmill, where) == 0
    whole = text(100)
    done = patch(docmill, where, 0, whole)
    more = patch(docmill, where, 100, b"x")
    assert (more.status_code, more.json()["code"]) == (413, "UPLOAD_TOO_LONG")
    assert kept(docmill, done.headers["docmill-document-id"]) == whole


def test_unknown_uploads_are_all_the_same_404(docmill: Docmill) -> None:
    bodies = set()
    for name in (str(uuid4()), "nothing"):
        assert head(docmill, f"/uploads/{name}").status_code == 404
        answer = patch(docmill, f"/uploads/{name}", 0, b"x")
        bodies.add((answer.status_code, answer.json()["detail"]))
    assert bodies == {(404, "There is no such upload.")}


def test_duplicate_is_told_so_that_the_client_does_not_try_again(docmill: Docmill) -> None:
    content = text(100)
    first = patch(docmill, begun(docmill, 100), 0, content)
    again = patch(docmill, begun(docmill, 100), 0, content)
    assert again.headers["docmill-document-id"] == first.headers["docmill-document-id"]
    assert again.headers["docmill-outcome"] == "existing"
    strict = metadata(filename="a.txt", on_duplicate="error")
    refused = patch(docmill, begun(docmill, 100, **{"Upload-Metadata": strict}), 0, content)
    assert (refused.status_code, refused.json()["code"]) == (422, "UPLOAD_DUPLICATE")
    assert refused.json()["document_id"] == first.headers["docmill-document-id"]


# cuts ------------------------------------------------------------------------------------


def cut_off(
    docmill: Docmill, where: str, content: bytes, *, send: int, at: int = 0, checksum: str = ""
) -> None:
    """A PATCH whose connection is reset after so many bytes of its body."""
    with connected(docmill) as client:
        client.sendall(patch_head(where, at, len(content) - at, checksum))
        client.sendall(content[at : at + send])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def connected(docmill: Docmill) -> socket.socket:
    host, port = docmill.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)))


def patch_head(where: str, at: int, length: int, checksum: str = "") -> bytes:
    checked = f"Upload-Checksum: {checksum}\r\n" if checksum else ""
    return (
        f"PATCH {where} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n{checked}"
        f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {at}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def test_bytes_that_came_before_a_cut_are_kept(docmill: Docmill) -> None:
    content = text(5 * MIB)
    where = begun(docmill, len(content))
    at = 0
    while at < 4 * MIB:
        cut_off(docmill, where, content, send=700_001, at=at)
        before, at = at, offset(docmill, where)
        assert before <= at <= before + 700_001
    assert at > 0
    done = patch(docmill, where, at, content[at:])
    assert kept(docmill, done.headers["docmill-document-id"]) == content


def test_newer_request_wins_over_one_that_hangs(docmill: Docmill) -> None:
    content = text(4 * MIB)
    where = begun(docmill, len(content))
    with connected(docmill) as dead:
        dead.sendall(patch_head(where, 0, len(content)))
        dead.sendall(content[: 2 * MIB + 77])

        def go_on() -> httpx2.Response | None:
            at = offset(docmill, where)
            answer = patch(docmill, where, at, content[at:])
            return None if answer.status_code == 409 else answer  # some more had come meanwhile

        done = until(go_on, "the newer request is taken")
        assert done.status_code == 204
    assert kept(docmill, done.headers["docmill-document-id"]) == content


def test_request_that_hangs_holds_nobody_up(docmill: Docmill) -> None:
    hanging = []
    for _ in range(20):
        client = connected(docmill)
        client.sendall(patch_head(begun(docmill, 100), 0, 100) + b"x")
        hanging.append(client)
    for _ in range(5):
        assert docmill.http.get("/healthz", timeout=5).status_code == 200
        assert docmill.http.get("/documents", timeout=5).status_code == 200
    for client in hanging:
        client.close()


def test_empty_request_at_the_end_completes_nothing_twice(docmill: Docmill) -> None:
    content = text(100)
    where = begun(docmill, 100)
    document_id = patch(docmill, where, 0, content).headers["docmill-document-id"]
    for _ in range(3):
        again = patch(docmill, where, 100, b"")
        assert (again.status_code, again.headers["upload-offset"]) == (204, "100")
        assert again.headers["docmill-document-id"] == document_id
    docmill.completed(document_id)
    jobs = docmill.http.get(f"/documents/{document_id}/jobs").json()["jobs"]
    assert [job["stage"] for job in jobs] == ["parse", "chunk", "embed"]


def test_many_requests_for_one_upload_have_one_winner(docmill: Docmill) -> None:
    content = text(2 * MIB)
    where = begun(docmill, len(content))
    answers: list[httpx2.Response] = []
    senders = [
        threading.Thread(target=lambda: answers.append(patch(docmill, where, 0, content)))
        for _ in range(8)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    won = {a.headers["docmill-document-id"] for a in answers if a.status_code == 204}
    assert {a.status_code for a in answers} <= {204, 409, 423}
    at = offset(docmill, where)
    if not won:  # each was asked to leave by the next: what they brought is there all the same
        last = patch(docmill, where, at, content[at:])
        won = {last.headers["docmill-document-id"]}
    (document_id,) = won
    assert kept(docmill, document_id) == content
