"""Many who send at once, slowly or without end: each takes little, and nobody waits for them."""

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from running import Docmill, until

MIB = 1 << 20
SENDERS = 200
# What a sender may cost the server: a buffer of 1 MiB, and what stands in its socket.
MOST_PER_SENDER = int(1.5 * MIB)
HEAD = (
    b"POST /documents HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data;"
    b" boundary=XX\r\nContent-Length: 10000000\r\n\r\n"
    b'--XX\r\nContent-Disposition: form-data; name="file"; filename="slow.bin"\r\n\r\n'
)


@pytest.fixture
def own_docmill() -> Iterator[Docmill]:
    """A docmill with little patience for those who send nothing."""
    folder = Path(tempfile.mkdtemp(prefix="docmill-crowd-"))
    served = Docmill(
        folder / "data",
        "--workers",
        "1",
        env={"DOCMILL_UPLOAD_IDLE_SECONDS": "3", "DOCMILL_OWNER_QUOTA_BYTES": "60MB"},
    )
    yield served
    assert served.stop() == 0
    shutil.rmtree(folder)


def memory(docmill: Docmill) -> int:
    """Of the serving process alone."""
    return int(psutil.Process(docmill.started.process.pid).memory_info().rss)


def test_two_hundred_slow_senders_take_little_and_hold_up_nobody(docmill: Docmill) -> None:
    host, port = docmill.url.removeprefix("http://").split(":")
    before = memory(docmill)
    with contextlib.ExitStack() as stack:
        senders = []
        for _ in range(SENDERS):
            sender = stack.enter_context(socket.create_connection((host, int(port))))
            sender.sendall(HEAD + os.urandom(MIB - 1000))
            senders.append(sender)
        for round_ in range(5):
            for sender in senders:
                sender.sendall(os.urandom(100))
            content = hashlib.sha256(f"{round_} {before}".encode()).hexdigest().encode()
            document_id = docmill.upload("quick.txt", content)
            docmill.completed(document_id)
            assert docmill.search(content.decode(), mode="text")
        assert memory(docmill) - before < SENDERS * MOST_PER_SENDER
    until(lambda: no_slow_document(docmill) or None, "nothing is left of them")


def no_slow_document(docmill: Docmill) -> bool:
    documents = docmill.http.get("/documents", params={"page_size": 200}).json()["documents"]
    return all(document["filename"] != "slow.bin" for document in documents)


def test_sender_that_falls_silent_hears_408_and_leaves_nothing(own_docmill: Docmill) -> None:
    host, port = own_docmill.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sender:
        sender.sendall(HEAD + os.urandom(2 * MIB))
        answer = sender.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 408 ")
    assert '"code":"UPLOAD_STALLED"' in answer
    assert own_docmill.http.get("/documents").json()["documents"] == []


def test_silent_sender_of_a_resumable_upload_may_go_on(own_docmill: Docmill) -> None:
    host, port = own_docmill.url.removeprefix("http://").split(":")
    tus = {"Tus-Resumable": "1.0.0"}
    content = os.urandom(3 * MIB)
    begun = own_docmill.http.post("/uploads", headers={**tus, "Upload-Length": str(len(content))})
    where = begun.headers["location"]
    head = (
        f"PATCH {where} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as sender:
        sender.sendall(head.encode() + content[: 2 * MIB + 5])
        answer = sender.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 423 ")
    offset = own_docmill.http.head(where, headers=tus).headers["upload-offset"]
    assert offset == str(2 * MIB + 5)


def test_owner_keeps_no_more_than_is_theirs(own_docmill: Docmill) -> None:
    own_docmill.upload("first.bin", os.urandom(40_000_000))
    answer = own_docmill.http.post(
        "/documents", files={"file": ("second.bin", os.urandom(30_000_000))}
    )
    assert (answer.status_code, answer.json()["code"]) == (507, "QUOTA_EXCEEDED")
    assert answer.json()["quota"] == 60_000_000
    length = {"Tus-Resumable": "1.0.0", "Upload-Length": "30000000"}
    refused = own_docmill.http.post("/uploads", headers=length)
    assert (refused.status_code, refused.json()["code"]) == (507, "QUOTA_EXCEEDED")
    (kept,) = own_docmill.http.get("/documents").json()["documents"]
    own_docmill.http.delete(f"/documents/{kept['document_id']}")
    own_docmill.upload("third.bin", os.urandom(30_000_000))


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 400 MB, where we may mount one."""
    folder = Path(tempfile.mkdtemp(prefix="docmill-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=400m,mode=0755", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("only root may mount a disk to fill")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_full_disk_is_told_as_507_and_what_is_here_stays(small_disk: Path) -> None:
    reserve = {"DOCMILL_DISK_RESERVE_BYTES": "120MB", "DOCMILL_MAX_UPLOAD_BYTES": "1GB"}
    docmill = Docmill(small_disk / "data", "--workers", "1", env=reserve)
    content = b"here before the disk was full"
    kept = docmill.upload("kept.txt", content)
    docmill.completed(kept)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        free = shutil.disk_usage(small_disk).free
        os.posix_fallocate(file.fileno(), 0, free - 160 * MIB)
    big = {"file": ("big.bin", os.urandom(80 * MIB))}
    answer = docmill.http.post("/documents", files=big)
    assert (answer.status_code, answer.json()["code"]) == (507, "STORAGE_FULL")
    length = {"Tus-Resumable": "1.0.0", "Upload-Length": str(80 * MIB)}
    assert docmill.http.post("/uploads", headers=length).status_code == 507
    assert docmill.http.get("/readyz").status_code == 200, "what is here can be read and found"
    ballast.unlink()
    names = [d["filename"] for d in docmill.http.get("/documents").json()["documents"]]
    assert names == ["kept.txt"]
    assert docmill.http.get(f"/documents/{kept}/content").content == content
    docmill.completed(docmill.upload("after.txt", b"there is room again"))
    assert docmill.stop() == 0
