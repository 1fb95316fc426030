"""Which trace a piece of work belongs to, as W3C Trace Context writes it.

A request that says `traceparent` names one; any other that changes something begins its own. A
document keeps that of its upload, and its stages go on with it in whatever process: in their log
lines, and in spans where those are sent somewhere.
"""

import logging
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from docmill import __version__
from docmill.errors import Failure

log = logging.getLogger(__name__)

HEADER = "traceparent"
# Where spans go is said by OpenTelemetry's own variables.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
SPOKEN = "http/protobuf"
# What is still to be sent at the end of a process waits no longer for a collector that is slow.
LAST_SECONDS = 3.0
DOCUMENTS_AT_ONCE = 256  # that a worker has in hand, about
_STANDARD = TraceContextTextMapPropagator()


def stated(values: Sequence[str]) -> Context | None:
    """What a request's headers say; None where that is nothing, or not what the standard has."""
    if len(values) != 1:
        return None
    found = _STANDARD.extract({HEADER: values[0]}, context=Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None


def begun() -> Context:
    """A trace of our own, which nobody has asked to be recorded."""
    own = SpanContext(
        int.from_bytes(secrets.token_bytes(16)) or 1,
        int.from_bytes(secrets.token_bytes(8)) or 1,
        is_remote=False,
        trace_flags=TraceFlags(0),
    )
    return trace.set_span_in_context(NonRecordingSpan(own), Context())


def traceparent() -> str:
    """The trace that is gone on with here and now, or a new one."""
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        found = trace.get_current_span(begun()).get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags & 1:02x}"


def here() -> str | None:
    """The id of the trace that is gone on with here and now, for the log."""
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else None


def trace_id(text: str | None) -> str | None:
    """The trace's id in a traceparent, for the log."""
    return text.split("-")[1] if text else None


# spans -----------------------------------------------------------------------------------

_tracer = trace.get_tracer("docmill")


def is_recorded() -> bool:
    """Whether there is something that takes spans, ours or of whoever started this process."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def span(
    name: str, kind: SpanKind, within: Context | str | None = None, **about: Any
) -> Iterator[Span]:
    """A span for the length of a block; where nothing is sent, one that does nothing.

    Args:
        name: what is done.
        kind: whose work it is.
        within: the trace that it belongs to, also as a traceparent; None for the one that is gone
            on with here.
        about: attributes, each below `docmill.`; None is none.
    """
    begun_here = start(name, kind, within, **about)
    try:
        with inside(begun_here):
            yield begun_here
    except Failure as failure:
        fail(begun_here, failure.code, failure.kind.title)
        raise
    except Exception as error:
        begun_here.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        begun_here.end()


def start(name: str, kind: SpanKind, within: Context | str | None = None, **about: Any) -> Span:
    """Begin a span, as `span` does, for whoever ends it elsewhere."""
    if isinstance(within, str):
        within = _of_document(within) or begun()
    told = {f"docmill.{key}": value for key, value in about.items() if value is not None}
    return _tracer.start_span(
        name, within, kind, told, record_exception=False, set_status_on_exception=False
    )


@lru_cache(maxsize=DOCUMENTS_AT_ONCE)
def _of_document(text: str) -> Context | None:
    """The trace that a document keeps; each of its stages goes on with it, soon after another."""
    return stated([text])


@contextmanager
def inside(current: Span) -> Iterator[None]:
    """Go on with a span here, for the length of a block, and leave its end to others."""
    # Its own way to note exceptions would send their messages away, and what those quote.
    with trace.use_span(current, record_exception=False, set_status_on_exception=False):
        yield


def fail(failed: Span, code: str, title: str) -> None:
    """Say in a span that its work failed, and why, in words that quote no document."""
    failed.set_status(Status(StatusCode.ERROR, code))
    failed.add_event("exception", {"exception.type": code, "exception.message": title})


def say(**about: Any) -> None:
    """Say more about the work that is done here and now."""
    doing = trace.get_current_span()
    for key, value in about.items():
        doing.set_attribute(f"docmill.{key}", value)


# where they go ---------------------------------------------------------------------------


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether OpenTelemetry's variables say that spans are to be sent."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    to = environment.get("OTEL_TRACES_EXPORTER", "")
    return to == "otlp" or (not to and any(environment.get(name) for name in ENDPOINTS))


@contextmanager
def sending(role: str) -> Iterator[None]:
    """Send this process's spans, where that is wanted, for the length of a block.

    Without `docmill[otel]` a line of the log says that they are not sent.
    """
    provider = _provider(role) if is_wanted() else None
    if provider is None:
        yield
        return
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        last = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(LAST_SECONDS)


def _provider(role: str) -> Any:
    """OpenTelemetry's SDK, set up by its own variables; imported only where it is wanted."""
    for name in PROTOCOLS:
        if os.environ.get(name, SPOKEN) != SPOKEN:
            log.warning("%s is %r, but %s is spoken: no traces are sent", name, os.environ[name],
                        SPOKEN)  # fmt: skip
            return None
    try:
        sdk = import_module("opentelemetry.sdk.trace")
        export = import_module("opentelemetry.sdk.trace.export")
        otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        resources = import_module("opentelemetry.sdk.resources")
    except ImportError:
        log.warning("OTEL_… is set, but no traces are sent: pip install 'docmill[otel]'")
        return None
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    about: dict[str, Any] = {
        "service.version": __version__,
        "process.pid": os.getpid(),
        "docmill.role": role,
        **({} if named else {"service.name": "docmill"}),
    }
    provider = sdk.TracerProvider(resource=resources.Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return provider
