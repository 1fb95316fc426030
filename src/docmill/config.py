"""The settings, one table: name, default, what it takes, what it is for.

The table drives the environment variables (`DOCMILL_*`), the flags of the same names, `docmill
doctor` and the reference in `docs/settings.md` (a test keeps that one complete). Every setting is
checked at start, so a wrong one is a sentence then and not a surprise at night.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docmill.errors import SettingError

PREFIX = "DOCMILL_"
UNITS = {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}

SHORTEST_SECRET = 32
KEYWORD = re.compile(r"\b(host|dbname|service)\s*=")

Parser = Callable[[str], Any]


def whole_number(lowest: int, highest: int) -> Parser:
    """Take a whole number of a range."""

    def parse(text: str) -> int:
        if not text.strip().isdecimal() or not lowest <= int(text) <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def seconds(lowest: float, highest: float) -> Parser:
    """Take a number of seconds of a range; fractions are allowed."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not lowest <= value <= highest:
            raise ValueError(f"seconds from {lowest:g} to {highest:g}")
        return value

    return parse


def byte_count(text: str) -> int:
    """Take a number of bytes, with a unit or without: `500000`, `50MB`, `1GiB`."""
    compact = text.strip().upper().replace(" ", "")
    digits = compact.rstrip("KMGIB")
    factor = UNITS.get(
        compact[len(digits) :] or "B", 1 if compact[len(digits) :] in {"", "B"} else 0
    )
    if not digits.isdecimal() or int(digits) * factor <= 0:
        raise ValueError("a number of bytes such as 50MB or 1GiB")
    return int(digits) * factor


def one_of(*choices: str) -> Parser:
    """Take one word of a list."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return text

    return parse


def some_of(*choices: str) -> Parser:
    """Take some words of a list, separated by commas; the first one stands alone."""

    def parse(text: str) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
        alone = choices[0] in words and len(words) > 1
        if not words or alone or not set(words) <= set(choices):
            raise ValueError(f"{choices[0]}, or some of {', '.join(choices[1:])}")
        return words

    return parse


def postgres_url(text: str) -> str:
    """Take the address of a PostgreSQL database, as a URL or as libpq's `host=… dbname=…`."""
    if urlsplit(text).scheme not in {"postgresql", "postgres"} and not KEYWORD.search(text):
        raise ValueError("an address such as postgresql://user:password@host:5432/database")
    return text


def http_url(text: str) -> str:
    """Take the address of an HTTP service."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("an address such as http://127.0.0.1:11434/v1")
    return text.rstrip("/")


def plain_text(text: str) -> str:
    """Take any text that is not empty."""
    if not text.strip():
        raise ValueError("a text that is not empty")
    return text


def folder(text: str) -> Path:
    """Take the path of a folder; it need not exist yet."""
    return Path(plain_text(text)).expanduser().absolute()


def host_names(text: str) -> tuple[str, ...]:
    """Take host names separated by commas."""
    return tuple(name.strip().lower() for name in plain_text(text).split(",") if name.strip())


def web_origins(text: str) -> tuple[str, ...]:
    """Take origins of web pages separated by commas, as browsers name them."""
    origins = tuple(name.strip().lower() for name in plain_text(text).split(",") if name.strip())
    for origin in origins:
        parts = urlsplit(origin)
        whole = f"{parts.scheme}://{parts.netloc}"
        if parts.scheme not in {"http", "https"} or not parts.hostname or origin != whole:
            raise ValueError("origins such as https://app.example.com, without a path, by commas")
    return origins


def default_data_dir() -> Path:
    """Where data lies when nobody says: the platform's place for a program's data.

    For root it is below /var/lib: PostgreSQL refuses to run as root, and the user that it runs as
    instead could not pass through root's home.
    """
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "docmill"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/docmill")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "docmill"


def setting(parse: Parser, about: str, default: Any, *, secret: bool = False) -> Any:
    """Declare a row of the table; `secret` values are never shown."""
    metadata = {"parse": parse, "about": about, "secret": secret}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a process, checked. See the field's `about` for each."""

    database_url: str | None = setting(
        postgres_url,
        "The PostgreSQL (15 or later, with pgvector) to use instead of the embedded one, as a role"
        " that may create roles and schemas; the services log in as two lesser roles.",
        None,
        secret=True,
    )
    api_database_url: str | None = setting(
        postgres_url,
        "The address for the API's login role, where it can't be derived from DATABASE_URL.",
        None,
        secret=True,
    )
    worker_database_url: str | None = setting(
        postgres_url,
        "The address for the workers' login role, where it can't be derived from DATABASE_URL.",
        None,
        secret=True,
    )
    data_dir: Path = setting(
        folder, "Where the embedded PostgreSQL keeps its data.", default_data_dir
    )
    host: str = setting(plain_text, "The address that `serve` listens on.", "127.0.0.1")
    port: int = setting(
        whole_number(0, 65535), "The port that `serve` listens on; 0 takes any.", 8000
    )
    allowed_hosts: tuple[str, ...] = setting(
        host_names,
        "Further host names under which requests are accepted, separated by commas.",
        (),
    )
    allowed_origins: tuple[str, ...] = setting(
        web_origins,
        "Web pages that may call the API from their visitors' browsers, such as"
        " https://app.example.com, separated by commas. They show a key or token each time; no"
        " cookie of docmill's counts there.",
        (),
    )
    workers: int = setting(whole_number(0, 256), "How many worker processes `serve` runs.", 2)
    slots: int = setting(whole_number(1, 64), "How many jobs a worker process runs at once.", 2)
    auth: tuple[str, ...] = setting(
        some_of("none", "keys", "jwt"),
        "Who may use the API: `keys` (see `docmill keys`), `jwt` (tokens of an identity provider),"
        " or `keys,jwt`; `none` serves this machine only.",
        ("none",),
    )
    jwt_secret: str | None = setting(
        plain_text, "The shared secret of the provider's tokens (HS256).", None, secret=True
    )
    jwks_url: str | None = setting(
        http_url, "Where the provider's public keys are (ES256, RS256 and others).", None
    )
    jwt_issuer: str | None = setting(
        plain_text, "What the tokens' `iss` must be, such as https://….supabase.co/auth/v1.", None
    )
    jwt_audience: str = setting(plain_text, "What the tokens' `aud` must be.", "authenticated")
    requests_per_second: float = setting(
        seconds(0, 100_000),
        "How often one key or user may ask, in the long run; twice as many at once. 0: any.",
        100.0,
    )
    uploads_at_once: int = setting(
        whole_number(1, 100_000), "How many uploads of one owner may be on their way at once.", 256
    )
    operator: str = setting(
        one_of("act", "read", "off"),
        "What may be done at /operator, by whoever has the scope `admin`: see and `act`, only"
        " `read`, or nothing (`off`).",
        "act",
    )
    max_upload_bytes: int = setting(byte_count, "The largest file that is taken.", 2 << 30)
    owner_quota_bytes: int | None = setting(
        byte_count, "How many bytes of files an owner may keep; without it, any number.", None
    )
    disk_reserve_bytes: int = setting(
        byte_count,
        "How much of the disk stays free: with less, the embedded database takes no more files. It"
        " stops when its disk is full to the last byte.",
        256 << 20,
    )
    upload_expiry_seconds: float = setting(
        seconds(60, 31_536_000),
        "How long a resumable upload may be left alone before it is dropped.",
        86_400.0,
    )
    upload_idle_seconds: float = setting(
        seconds(1, 3600),
        "How long an upload may send nothing before it is given up. A request's headers have as"
        " long in all, but no more than 20 seconds.",
        60.0,
    )
    lease_seconds: float = setting(
        seconds(1, 3600),
        "How long a job stays a worker's own after the worker's last sign of life.",
        10.0,
    )
    poll_seconds: float = setting(
        seconds(0.05, 60), "How often an idle worker looks for work that nobody told it of.", 1.0
    )
    tick_seconds: float = setting(
        seconds(1, 86_400),
        "How far apart a scheduler's ticks are at most. Where no worker runs all the time and none"
        " came for three times as long, /readyz says so.",
        300.0,
    )
    drain_seconds: float = setting(
        seconds(0, 600), "How long a worker that is asked to stop may finish what it holds.", 10.0
    )
    max_attempts: int = setting(
        whole_number(1, 100), "How often a job is tried before it fails.", 5
    )
    backoff_seconds: float = setting(
        seconds(0, 3600), "The wait before the second try; it doubles with each further one.", 2.0
    )
    backoff_cap_seconds: float = setting(
        seconds(0, 86400), "The longest wait between two tries.", 300.0
    )
    parse_memory_bytes: int = setting(byte_count, "The memory one parser may use.", 1 << 30)
    parse_seconds: float = setting(
        seconds(1, 86400), "How long one parser may work on one job.", 600.0
    )
    parse_stall_seconds: float = setting(
        seconds(1, 3600), "How long a parser may go without finishing a page.", 60.0
    )
    outage_patience_seconds: float = setting(
        seconds(1, 31_536_000),
        "How long a document waits for an embedding service that fails, or for room on a full disk,"
        " before it fails as well.",
        86_400.0,
    )
    embedder: str = setting(
        one_of("static", "openai"),
        "`static` runs offline; `openai` is any OpenAI-compatible endpoint.",
        "static",
    )
    embed_url: str | None = setting(
        http_url, "The base address of the OpenAI-compatible endpoint, such as https://…/v1.", None
    )
    embed_api_key: str | None = setting(plain_text, "The endpoint's key.", None, secret=True)
    embed_model: str | None = setting(plain_text, "The model's name at the endpoint.", None)
    embed_dimensions: int | None = setting(
        whole_number(1, 2000), "How many dimensions the endpoint's vectors have.", None
    )
    embed_max_tokens: int = setting(
        whole_number(16, 1_000_000), "The longest text, in tokens, that the model takes.", 8191
    )
    embed_batch: int = setting(whole_number(1, 2048), "How many passages go into one call.", 64)
    embed_timeout_seconds: float = setting(
        seconds(0.1, 600), "How long one call to the endpoint may take.", 60.0
    )
    webhook_targets: str = setting(
        one_of("public", "private"),
        "Where webhooks may lead: to `public` addresses by https, or also to this machine and its"
        " `private` networks, there by http as well. Owners name them, and workers ask them.",
        "public",
    )
    metrics_port: int | None = setting(
        whole_number(0, 65535),
        "The port at which a `docmill worker` tells Prometheus of itself; 0 takes any. Without it,"
        " none. Workers of `serve` have none.",
        None,
    )
    metrics_host: str = setting(
        plain_text,
        "The address of that port. Nobody is asked for a key there: let only Prometheus reach it.",
        "127.0.0.1",
    )
    keep_history_days: int = setting(
        whole_number(1, 36_500),
        "How long the audit trail keeps what others have followed: attempts before a job's last"
        " one, and jobs of generations before the newest that don't serve.",
        30,
    )
    keep_webhook_log_days: int = setting(
        whole_number(1, 36_500),
        "How long the log of what webhooks were told is kept, and what waits for one to be enabled"
        " again.",
        30,
    )
    keep_operator_log_days: int = setting(
        whole_number(1, 36_500), "How long it is kept who did what at /operator.", 365
    )
    log_level: str = setting(
        one_of("debug", "info", "warning", "error"), "How much is logged.", "info"
    )
    log_format: str = setting(
        one_of("text", "json"),
        "How: lines for people, or a JSON object a line for programs.",
        "text",
    )

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked who they are: then this machine is served only."""
        return "none" in self.auth


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def read_settings(
    environment: Mapping[str, str] = os.environ, flags: Mapping[str, str | None] | None = None
) -> Settings:
    """Read settings from flags first and the environment second, and check them all.

    Args:
        environment: variables; only those that begin with `DOCMILL_` are looked at.
        flags: setting name -> text, None where the flag was not given.

    Raises:
        SettingError: a value is not what the setting takes, or two settings contradict.
    """
    given = {name: text for name, text in (flags or {}).items() if text is not None}
    values: dict[str, Any] = {}
    for row in fields(Settings):
        text = given.get(row.name, environment.get(variable(row.name)))
        if text is not None and text != "":
            values[row.name] = _parsed(row.name, text, row.metadata)
    settings = Settings(**values)
    _check_together(settings)
    return settings


def _parsed(name: str, text: str, metadata: Mapping[str, Any]) -> Any:
    try:
        return metadata["parse"](text)
    except ValueError as error:
        shown = "a value (kept secret)" if metadata["secret"] else repr(text)
        raise SettingError(f"{variable(name)} is {shown}, but takes {error}.") from error


def _check_together(settings: Settings) -> None:
    if settings.is_open and not is_loopback(settings.host):
        raise SettingError(
            f"DOCMILL_HOST is {settings.host!r}: without authentication docmill serves this"
            " machine only. Set DOCMILL_AUTH to `keys` or `jwt`, or use 127.0.0.1."
        )
    if "jwt" in settings.auth:
        _check_provider(settings)
    if settings.embedder == "openai":
        for name in ("embed_url", "embed_model", "embed_dimensions"):
            if getattr(settings, name) is None:
                raise SettingError(f"DOCMILL_EMBEDDER is 'openai', so {variable(name)} is needed.")


def _check_provider(settings: Settings) -> None:
    if settings.jwt_issuer is None:
        raise SettingError("DOCMILL_AUTH has `jwt`, so DOCMILL_JWT_ISSUER is needed.")
    if settings.jwks_url is None and settings.jwt_secret is None:
        raise SettingError(
            "DOCMILL_AUTH has `jwt`, so DOCMILL_JWKS_URL or DOCMILL_JWT_SECRET is needed."
        )
    if settings.jwt_secret is not None and len(settings.jwt_secret.encode()) < SHORTEST_SECRET:
        raise SettingError(
            f"DOCMILL_JWT_SECRET has fewer than {SHORTEST_SECRET} bytes: such a secret can be"
            " found by trying."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def shown(settings: Settings) -> dict[str, str]:
    """Every setting as text, secrets hidden, for `docmill doctor` and logs."""
    return {
        row.name: "(set)"
        if row.metadata["secret"] and getattr(settings, row.name) is not None
        else _text(getattr(settings, row.name))
        for row in fields(settings)
    }


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
