"""What is no proper HTTP is refused, and nobody else notices."""

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest

from guarded import Guarded, guarded_docmill
from running import Docmill, until

FEW_FILES = 400
HOST = b"Host: 127.0.0.1\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def impatient(admin_url: str) -> Iterator[Guarded]:
    """A docmill that waits for nobody longer than a second."""
    with guarded_docmill(admin_url, DOCMILL_AUTH="none", DOCMILL_UPLOAD_IDLE_SECONDS="1") as served:
        yield served


def connected(docmill: Docmill) -> socket.socket:
    parts = urlsplit(docmill.url)
    client = socket.create_connection((parts.hostname, parts.port), 60)
    client.settimeout(60)
    return client


def answer_to(client: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            received += piece
    return received


def answers(docmill: Docmill, request: bytes) -> bytes:
    """What the server says to these bytes, before it closes."""
    with connected(docmill) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(request)
        return answer_to(client)


def problem_in(answer: bytes) -> tuple[int, str]:
    """Status and code of the first answer, which is a refusal."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, answer[:500]
    shown, _ = json.JSONDecoder().raw_decode(body.decode())
    return int(head.split()[1]), shown["code"]


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return line + b"\r\n" + HOST + b"Connection: close\r\n" + b"".join(headers) + b"\r\n" + body


BAD = (400, "BAD_REQUEST")
REFUSED = {
    "a line that is none": (b"nonsense\r\n\r\n", BAD),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), BAD),
    "HTTP/2 at once": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (421, "HOST_REFUSED")),
    "two lengths": (
        request(b"POST /search HTTP/1.1", b"Content-Length: 5\r\nContent-Length: 6\r\n"),
        BAD,
    ),
    "length below nought": (request(b"POST /search HTTP/1.1", b"Content-Length: -1\r\n"), BAD),
    "length of no number": (request(b"POST /search HTTP/1.1", b"Content-Length: 0x10\r\n"), BAD),
    "length of many digits": (
        request(b"POST /search HTTP/1.1", b"Content-Length: " + b"9" * 5000 + b"\r\n"),
        BAD,
    ),
    "unknown coding": (request(b"POST /search HTTP/1.1", b"Transfer-Encoding: gzip\r\n"), BAD),
    "coding twice": (request(b"POST /search HTTP/1.1", CHUNKED, CHUNKED), BAD),
    "length beside chunks": (
        request(
            b"POST /search HTTP/1.1", JSON, CHUNKED, b"Content-Length: 4\r\n", body=b"0\r\n\r\n"
        ),
        BAD,
    ),
    "chunk of no size": (
        request(b"POST /search HTTP/1.1", JSON, CHUNKED, body=b"zz\r\n{}\r\n"),
        BAD,
    ),
    "a space before the colon": (request(b"GET /healthz HTTP/1.1", b"X : y\r\n"), BAD),
    "a header in two lines": (request(b"GET /healthz HTTP/1.1", b"X\r\n y: z\r\n"), BAD),
    "NUL in a header": (request(b"GET /healthz HTTP/1.1", b"X: a\0b\r\n"), BAD),
    "NUL in the path": (request(b"GET /health\0z HTTP/1.1"), BAD),
    "a raw byte in the path": (request(b"GET /documents/\xff HTTP/1.1"), BAD),
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", BAD),
    "two Hosts": (request(b"GET /healthz HTTP/1.1", HOST), BAD),
    "another Host": (
        b"GET /limits HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n",
        (421, "HOST_REFUSED"),
    ),
    "another Host in the target": (
        b"GET http://elsewhere/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        (404, "NOT_FOUND"),
    ),
    "CONNECT": (request(b"CONNECT elsewhere:443 HTTP/1.1"), (404, "NOT_FOUND")),
    "huge headers": (
        request(b"GET /healthz HTTP/1.1", b"X: " + b"x" * (1 << 20) + b"\r\n"),
        (431, "HEADERS_TOO_LARGE"),
    ),
    "very many headers": (
        request(b"GET /healthz HTTP/1.1", b"X: y\r\n" * 100_000),
        (431, "HEADERS_TOO_LARGE"),
    ),
    "a huge target": (
        request(b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1"),
        (431, "HEADERS_TOO_LARGE"),
    ),
    "huge JSON": (
        request(
            b"POST /search HTTP/1.1",
            JSON,
            b"Content-Length: 3000000\r\n",
            body=b'{"query": "' + b"x" * 2_999_987 + b'"}',
        ),
        (413, "BODY_TOO_LARGE"),
    ),
    "JSON without end": (
        request(b"POST /search HTTP/1.1", JSON, CHUNKED, body=b"10000\r\n" + b"[" * 65536 + b"\r\n")
        + (b"10000\r\n" + b"[" * 65536 + b"\r\n") * 40,
        (413, "BODY_TOO_LARGE"),
    ),
    "deep JSON": (
        request(
            b"POST /search HTTP/1.1",
            JSON,
            b"Content-Length: 200000\r\n",
            body=b"[" * 100_000 + b"]" * 100_000,
        ),
        BAD,
    ),
    "JSON that is not UTF-8": (
        request(
            b"POST /search HTTP/1.1", JSON, b"Content-Length: 13\r\n", body=b'{"query":"\xff"}'
        ),
        BAD,
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_proper_request_is_refused(docmill: Docmill, what: str) -> None:
    sent, refusal = REFUSED[what]
    assert problem_in(answers(docmill, sent)) == refusal
    assert docmill.http.get("/healthz").status_code == 200


def test_bytes_behind_a_refused_request_are_no_request(docmill: Docmill) -> None:
    smuggled = request(b"DELETE /documents/x HTTP/1.1")
    both = b"POST /search HTTP/1.1\r\n" + HOST + CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n"
    assert answers(docmill, both + smuggled).count(b"HTTP/1.1 ") == 1


def test_old_and_unusual_requests_are_answered(docmill: Docmill) -> None:
    old = answers(docmill, b"GET /healthz HTTP/1.0\r\n" + HOST + b"\r\n")
    assert b" 200 " in old.partition(b"\r\n")[0]
    upgrade = b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: x\r\n"
    asked = b"GET /healthz HTTP/1.1\r\n" + HOST + upgrade + b"\r\n"
    assert b" 200 " in answers(docmill, asked).partition(b"\r\n")[0]


def test_pipelined_requests_are_answered_in_order(docmill: Docmill) -> None:
    first = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    both = answers(docmill, first + request(b"GET /limits HTTP/1.1"))
    assert both.index(b"alive") < both.index(b"max_upload_bytes")


def test_answers_on_a_kept_connection_come_at_once(docmill: Docmill) -> None:
    """An answer's body doesn't wait for the client to confirm its head, which takes it 40 ms."""
    took = []
    for _ in range(40):
        begun = time.perf_counter()
        assert docmill.http.get("/healthz").status_code == 200
        took.append(time.perf_counter() - begun)
    # At first every packet is confirmed at once. One of the last, at least, was not disturbed.
    assert min(took[-10:]) < 0.03, took


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"G",
        b"GET /healthz HTTP/1.1\r\n",
    ],
)
def test_request_that_is_never_whole_is_given_up(impatient: Guarded, begun: bytes) -> None:
    with connected(impatient.docmill) as client:
        client.sendall(begun)
        assert problem_in(answer_to(client)) == (408, "HEADERS_STALLED")


def test_second_request_that_is_never_whole_is_given_up(impatient: Guarded) -> None:
    with connected(impatient.docmill) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        received = b""
        while b"alive" not in received:
            received += client.recv(65536)
        client.sendall(b"GET /healthz HTT")
        assert problem_in(answer_to(client)) == (408, "HEADERS_STALLED")


def test_dribbled_headers_are_given_up(impatient: Guarded) -> None:
    with connected(impatient.docmill) as client:
        client.settimeout(0.05)
        answer = b""
        while not answer:
            with contextlib.suppress(TimeoutError):
                client.sendall(b"X")
                answer = client.recv(65536)
        client.settimeout(60)
        answer += answer_to(client)  # which may come in pieces
        assert problem_in(answer) == (408, "HEADERS_STALLED")


def test_body_that_stops_is_given_up(impatient: Guarded) -> None:
    stopped = request(b"POST /search HTTP/1.1", JSON, b"Content-Length: 100\r\n", body=b"{")
    with connected(impatient.docmill) as client:
        client.sendall(stopped)
        assert problem_in(answer_to(client)) == (408, "UPLOAD_STALLED")


def test_chunk_that_is_broken_after_the_answer_began_breaks_nothing(impatient: Guarded) -> None:
    head = request(b"POST /nowhere HTTP/1.1", JSON, CHUNKED, body=b"1\r\n{\r\n")
    with connected(impatient.docmill) as client:
        client.sendall(head)
        client.sendall(b"zz\r\n")
        assert answer_to(client).count(b"HTTP/1.1 4") == 1
    assert not [line for line in impatient.docmill.started.said if "Traceback" in line]


def few_files(folder: Path) -> str:
    """A Python whose processes may open few files."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nulimit -n {FEW_FILES}\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    return str(program)


def test_more_idle_connections_than_files_shut_nobody_out(admin_url: str, tmp_path: Path) -> None:
    python = few_files(tmp_path)
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(guarded_docmill(admin_url, python=python, DOCMILL_AUTH="none"))
        for number in range(FEW_FILES + 100):
            client = stack.enter_context(connected(served.docmill))
            client.sendall(b"GET /healthz HTTP/1.1\r\nX: " if number % 2 else b"")
        # Not over the connection that was kept from before: that one idles for longest of all.
        served.docmill.connect_again()
        document = served.docmill.upload("a.txt", b"the ferry leaves at noon")
        assert served.docmill.completed(document)["status"] == "completed"
        assert psutil.Process(served.docmill.started.process.pid).num_fds() < FEW_FILES


def test_hundred_dribbling_uploads_hold_up_nobody(docmill: Docmill) -> None:
    head = request(
        b"POST /documents HTTP/1.1",
        b"Content-Type: multipart/form-data; boundary=x\r\n",
        b"Content-Length: 1000000\r\n",
    )
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(connected(docmill))
            client.sendall(head + b"--x\r\nContent-Disposition: form-data; ")
        document = docmill.upload("a.txt", uuid4().bytes.hex().encode())
        assert docmill.completed(document)["status"] == "completed"


def test_refusals_of_nonsense_leave_no_memory_behind(docmill: Docmill) -> None:
    process = psutil.Process(docmill.started.process.pid)
    sent = [REFUSED["huge headers"][0], REFUSED["huge JSON"][0], REFUSED["JSON without end"][0]]

    def send_all() -> None:
        for one in sent:
            answers(docmill, one)

    send_all()
    before = process.memory_info().rss
    threads = [threading.Thread(target=send_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: process.memory_info().rss < before + (64 << 20), "memory is given back")
