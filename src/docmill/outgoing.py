"""Requests to addresses that users name: never into the network that docmill itself stands in.

A name is resolved once per request, every address that it has is looked at, and the connection is
made to one of those very addresses: a name that resolves differently the next moment gains nothing.
TLS still proves the name. No redirect is followed, no proxy or password of the environment is used,
and all of a request has one deadline, however slowly an answer trickles.

The embedding endpoint is not asked by this way: its address is the operator's own setting, and a
model on the same machine or in the same network is the usual case there.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore2
import httpx2

from docmill.errors import Stopped

Address = IPv4Address | IPv6Address
Names = Callable[[str, int], list[str]]

LONGEST_URL = 2000
LAST_PORT = 65_535
CONNECT_SECONDS = 5.0
# How long somebody who stops a request waits for it to notice.
NOTICES_SECONDS = 0.25
READ_OF_ANSWER = 4096
LONGEST_PAUSE_SECONDS = 86_400.0
# IPv6 addresses in which an IPv4 address is packed, and behind how many bits: translated (NAT64),
# tunnelled (6to4), and the deprecated "compatible" form. Such a packet ends at the inner address.
PACKED_IPV4 = (
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
    (IPv6Network("::/96"), 0),
)
# Translation within a site, and tunnels (Teredo): older versions of Python call these global.
NOT_PUBLIC = (IPv6Network("64:ff9b:1::/48"), IPv6Network("2001::/32"))


class Refused(Exception):
    """An address that no request is made to. The message is a sentence for whoever named it."""


class NoAnswer(Exception):
    """The other side could not be reached or did not answer. The message says how it failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, and how long the other side wants to be left alone (seconds)."""

    status: int
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """Where requests may go: with `private` also to this machine and the networks around it."""

    private: bool = False


def names_of_system(host: str, port: int) -> list[str]:
    """All addresses of a name, as the system finds them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def inner(address: Address) -> Address:
    """The IPv4 address that is packed into an IPv6 address, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    for network, shift in PACKED_IPV4:
        if address in network and int(address) > 1:
            return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's, reached by routers of others."""
    address = inner(address)
    is_of_a_few = address.is_multicast or address.is_reserved
    return address.is_global and not is_of_a_few and not any(address in net for net in NOT_PUBLIC)


def is_nobodys(address: Address) -> bool:
    """Addresses at which no service of anybody's stands; clouds keep machines' secrets at one."""
    address = inner(address)
    return address.is_link_local or address.is_multicast or address.is_unspecified


def why_refused(address: Address, *, encrypted: bool, reach: Reach) -> str | None:
    """Why no request goes to this address; None where it may."""
    if is_public(address):
        return None if encrypted else "a public address takes https only"
    if is_nobodys(address) or not reach.private:
        return "it is not a public address"
    return None


def target_of(text: str) -> httpx2.URL:
    """The URL of an endpoint, if it can be one.

    Raises:
        Refused: it can't be read, is not of HTTP, or carries what an endpoint's URL does not.
    """
    if len(text) > LONGEST_URL or not text.isprintable() or " " in text or "\\" in text:
        raise Refused(f"It has spaces, control characters or more than {LONGEST_URL} characters.")
    try:
        url = httpx2.URL(text)
        host = url.raw_host.decode("ascii")
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        raise Refused("It can't be read.") from error
    if url.port is not None and not 0 < url.port <= LAST_PORT:
        raise Refused(f"Its port is {url.port}, and ports are 1 to {LAST_PORT}.")
    if url.scheme not in {"https", "http"} or not host:
        raise Refused("It must be an address such as https://example.com/hook.")
    if url.userinfo:
        raise Refused("It must not carry a user or password.")
    if "#" in text:
        raise Refused("It must not have a fragment (#…), which is never sent.")
    return url


def check(text: str, reach: Reach, names: Names = names_of_system) -> None:
    """Look whether a request to this URL would be made now. May wait for the name to be resolved.

    Raises:
        Refused: it would not.
    """
    url = target_of(text)
    addresses_of(url, reach, names)


def addresses_of(url: httpx2.URL, reach: Reach, names: Names) -> list[Address]:
    """The addresses of the URL's host, of which every one may be asked.

    Raises:
        Refused: one may not, or the name has none.
    """
    host, port = url.raw_host.decode("ascii"), _port(url)
    try:
        addresses = [ip_address(found) for found in names(host, port)]
    except (OSError, UnicodeError, ValueError) as error:
        raise Refused(f"{host} can't be resolved to an address.") from error
    if not addresses:
        raise Refused(f"{host} has no address.")
    for address in addresses:
        if reason := why_refused(address, encrypted=url.scheme == "https", reach=reach):
            raise Refused(f"{host} is {address}: {reason}.")
    return addresses


@dataclass(frozen=True, slots=True)
class Sender:
    """Posts to endpoints. `stop`, once set, ends what is under way soon."""

    reach: Reach
    seconds: float
    stop: threading.Event = field(default_factory=threading.Event)
    names: Names = names_of_system
    tls: ssl.SSLContext = field(default_factory=httpcore2.default_ssl_context)

    def post(self, text: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post once. Of the answer only its head counts; its body is read a little and dropped.

        Raises:
            Refused: the URL is none that requests go to.
            NoAnswer: no answer came in time, or none that is HTTP.
            Stopped: `stop` was set meanwhile.
        """
        limit = Limit(time.monotonic() + self.seconds, self.stop)
        url = target_of(text)
        addresses = addresses_of(url, self.reach, self.names)
        pool = httpcore2.ConnectionPool(
            ssl_context=self.tls, network_backend=_Pinned(addresses, limit)
        )
        try:
            with (
                pool,
                pool.stream(
                    "POST", _target(url), headers=[*headers.items()], content=body
                ) as response,
            ):
                _read_some(response)
                asked = retry_after(httpx2.Headers(response.headers))
                return Answer(response.status, asked)
        except httpcore2.TimeoutException as error:
            raise NoAnswer(f"It did not answer in {self.seconds:g} seconds.") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError) as error:
            raise NoAnswer(f"{_said(error)}.") from error


def _target(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _port(url: httpx2.URL) -> int:
    return url.port or {"https": 443, "http": 80}[url.scheme]


def _read_some(response: httpcore2.Response) -> None:
    """Let the other side finish a short answer in peace. What it says, its status has said."""
    read = 0
    with suppress(
        httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, Stopped
    ):
        for piece in response.iter_stream():
            read += len(piece)
            if read > READ_OF_ANSWER:
                return


def _said(error: Exception) -> str:
    """What went wrong, without addresses, paths or whatever else the other side chose to say."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"Its certificate is not accepted: {cause.verify_message}"
        if isinstance(cause, ConnectionRefusedError):
            return "The connection was refused"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore2.ConnectError):
        return "The connection failed"
    return "The connection ended before an answer came"


@dataclass(frozen=True, slots=True)
class Limit:
    """When a request must have ended (monotonic), and the way to end it before."""

    ends: float
    stop: threading.Event

    def left(self, timeout: type[httpcore2.TimeoutException]) -> float:
        """The seconds until it ends.

        Raises:
            Stopped: it was told to end.
            TimeoutException: it has ended.
        """
        if self.stop.is_set():
            raise Stopped
        seconds = self.ends - time.monotonic()
        if seconds <= 0:
            raise timeout
        return seconds


class _Pinned(httpcore2.NetworkBackend):
    """Connects to addresses that were looked at, whatever the host is called."""

    def __init__(self, addresses: Iterable[Address], limit: Limit) -> None:
        self._addresses = list(addresses)
        self._limit = limit
        self._system = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - resolved before, and not again
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the limit's
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.NetworkStream:
        failed: Exception | None = None
        for address in self._addresses:
            left = min(CONNECT_SECONDS, self._limit.left(httpcore2.ConnectTimeout))
            try:
                stream = self._system.connect_tcp(
                    str(address), port, left, local_address, socket_options
                )
                return _Limited(stream, self._limit)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore2.ConnectError


class _Limited(httpcore2.NetworkStream):
    """A connection whose every step keeps to the request's limit."""

    def __init__(self, stream: httpcore2.NetworkStream, limit: Limit) -> None:
        self._stream = stream
        self._limit = limit

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the limit's
        while True:
            left = self._limit.left(httpcore2.ReadTimeout)
            with suppress(httpcore2.ReadTimeout):
                return self._stream.read(max_bytes, min(NOTICES_SECONDS, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the limit's
        self._stream.write(buffer, self._limit.left(httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the limit's
    ) -> httpcore2.NetworkStream:
        left = self._limit.left(httpcore2.ConnectTimeout)
        return _Limited(self._stream.start_tls(ssl_context, server_hostname, left), self._limit)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def retry_after(headers: httpx2.Headers) -> float | None:
    """How many seconds whoever answered wants to be left alone, in any of three ways to say so."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return _within_a_day(float(milliseconds) / 1000)
        value = headers.get("retry-after", "")
        if value.replace(".", "", 1).isdecimal():
            return _within_a_day(float(value))
        if value:
            return _within_a_day((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        pass  # nonsense is as good as nothing: the usual backoff holds
    return None


def _within_a_day(seconds: float) -> float:
    """No number that breaks a sum: NaN is no wait, and more than a day is a day."""
    return min(seconds, LONGEST_PAUSE_SECONDS) if seconds > 0 else 0.0
