"""Requests to addresses that users name: where they never go, and how each of them ends."""

import socket
import ssl
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from docmill.errors import Stopped
from docmill.outgoing import (
    Answer,
    NoAnswer,
    Reach,
    Refused,
    Sender,
    check,
    is_public,
)
from running import until
from webhook_receiver import (
    Mood,
    Receiver,
    answers,
    closes,
    closes_in_the_middle,
    hangs,
    hangs_in_its_body,
    no_http,
    trickles,
)

PUBLIC, PRIVATE = Reach(), Reach(private=True)
NOT_PUBLIC = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "198.18.0.1", "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "2001::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
]  # fmt: skip
# Where nobody's service stands: not even in private networks.
NOBODYS = {
    "0.0.0.0", "169.254.169.254", "224.0.0.1", "::", "fe80::1", "ff02::1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
}  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused_whatever_its_form(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused, match="it is not a public address"):
        check(f"https://{host}/", PUBLIC)
    named = lambda *_: ["8.8.8.8", address]  # noqa: E731
    with pytest.raises(Refused, match="it is not a public address"):
        check("https://two.example/", PUBLIC, named)
    if address in NOBODYS:
        with pytest.raises(Refused, match="it is not a public address"):
            check(f"http://{host}/", PRIVATE)
    else:
        check(f"http://{host}/", PRIVATE)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_takes_https_and_nothing_else(address: str) -> None:
    named = lambda *_: [address]  # noqa: E731
    check("https://name.example/hook", PUBLIC, named)
    for reach in (PUBLIC, PRIVATE):
        with pytest.raises(Refused, match="https only"):
            check("http://name.example/hook", reach, named)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "localhost", "LOCALHOST."]
)
def test_other_ways_to_write_this_machine_lead_nowhere(host: str) -> None:
    with pytest.raises(Refused, match=r"not a public address|can't be (resolved|read)"):
        check(f"https://{host}/", PUBLIC)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "must be an address"),
        ("example.com/hook", "must be an address"),
        ("ftp://example.com/", "must be an address"),
        ("file:///etc/passwd", "must be an address"),
        ("https:///hook", "must be an address"),
        ("https://user@example.com/", "user or password"),
        ("https://user:secret@example.com/", "user or password"),
        ("https://example.com/#part", "fragment"),
        ("https://exa mple.com/", "spaces"),
        ("https://example.com/\r\nHost: other", "control"),
        ("https://example.com\\@127.0.0.1/", "spaces"),
        ("https://example.com:99999/", "port is 99999"),
        ("https://example.com:0/", "port is 0"),
        ("https://[::1/", "can't be read"),
        ("https://example.com/" + "x" * 2000, "2000 characters"),
        ("https://no-such-name.invalid/", "can't be resolved"),
    ],
)
def test_what_can_be_no_endpoint_is_refused_with_a_reason(url: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        check(url, PUBLIC)


def test_a_name_is_resolved_once_and_connected_to_where_it_led_then() -> None:
    asked: list[str] = []

    def changing(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    with Receiver() as receiver:
        url = receiver.url.replace("127.0.0.1", "changing.example")
        sender = Sender(PRIVATE, 10, names=changing)
        assert sender.post(url, {}, b"x") == Answer(200)
        (received,) = receiver.received
    assert asked == ["changing.example"]
    assert received.headers["host"].startswith("changing.example:")


def test_a_name_that_leads_inside_after_it_was_taken_is_asked_nothing() -> None:
    answers_of_dns = iter([["8.8.8.8"], ["127.0.0.1"]])
    named = lambda *_: next(answers_of_dns)  # noqa: E731
    with Receiver() as receiver:
        url = receiver.url.replace("127.0.0.1", "turns.example").replace("http", "https", 1)
        check(url, PUBLIC, named)
        with pytest.raises(Refused):
            Sender(PUBLIC, 10, names=named).post(url, {}, b"x")
        assert receiver.received == []


def test_a_second_address_is_tried_where_the_first_does_not_answer() -> None:
    with Receiver() as receiver:
        url = receiver.url.replace("127.0.0.1", "two.example")
        sender = Sender(PRIVATE, 10, names=lambda *_: ["127.0.0.9", "127.0.0.1"])
        assert sender.post(url, {}, b"x") == Answer(200)


@pytest.mark.parametrize(
    ("mood", "answer"),
    [
        (answers(204), Answer(204)),
        (answers(302, Location="http://127.0.0.1:9/"), Answer(302)),
        (answers(503, Retry_After="7"), Answer(503, 7.0)),
        (answers(429, Retry_After="99999999"), Answer(429, 86_400.0)),
        (answers(429, Retry_After="nonsense"), Answer(429)),
    ],
)
def test_an_answer_is_its_status_and_no_redirect_is_followed(mood: Mood, answer: Answer) -> None:
    with Receiver() as receiver:
        receiver.mood = mood
        assert Sender(PRIVATE, 10).post(receiver.url, {}, b"x") == answer
        assert len(receiver.received) == 1


def test_a_body_that_never_ends_changes_nothing_of_what_the_status_says() -> None:
    with Receiver() as receiver:
        receiver.mood = hangs_in_its_body
        assert Sender(PRIVATE, 0.5).post(receiver.url, {}, b"x") == Answer(200)


@pytest.mark.parametrize("mood", [closes, closes_in_the_middle, no_http])
def test_an_answer_that_is_none_says_so(mood: Mood) -> None:
    with Receiver() as receiver:
        receiver.mood = mood
        with pytest.raises(NoAnswer, match="ended before an answer"):
            Sender(PRIVATE, 10).post(receiver.url, {}, b"x")


@pytest.mark.parametrize("mood", [hangs, trickles])
def test_an_answer_that_never_ends_is_given_up_in_time(mood: Mood) -> None:
    with Receiver() as receiver:
        receiver.mood = mood
        with pytest.raises(NoAnswer, match=r"did not answer in 0\.5 seconds"):
            Sender(PRIVATE, 0.5).post(receiver.url, {}, b"x")


def test_a_request_ends_soon_after_it_is_told_to() -> None:
    stop = threading.Event()
    with Receiver() as receiver:
        receiver.mood = hangs
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(Sender(PRIVATE, 3600, stop).post, receiver.url, {}, b"x")
            until(lambda: bool(receiver.received), "it is asked")
            stop.set()
            assert isinstance(asking.exception(), Stopped)


def test_nobody_there_is_no_answer() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        with pytest.raises(NoAnswer, match="The connection was refused"):
            Sender(PRIVATE, 10).post(url, {}, b"x")


def certified(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of that name shows, and what a client takes that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(certificate + private)
        file.flush()
        server.load_cert_chain(file.name)
    client = ssl.create_default_context(cadata=certificate.decode())
    return server, client


def test_tls_proves_the_name_at_the_address_that_was_checked() -> None:
    shown, trusting = certified("hook.example")
    with Receiver(shown) as receiver:
        url = receiver.url.replace("127.0.0.1", "hook.example")
        named = lambda *_: ["127.0.0.1"]  # noqa: E731
        assert Sender(PRIVATE, 10, names=named, tls=trusting).post(url, {}, b"x") == Answer(200)
        for sender, where in (
            (Sender(PRIVATE, 10, names=named, tls=trusting), url.replace("hook.", "other.")),
            (Sender(PRIVATE, 10, names=named), url),
        ):
            with pytest.raises(NoAnswer, match="certificate is not accepted"):
                sender.post(where, {}, b"x")
        assert len(receiver.received) == 1
