"""Which trace a piece of work belongs to, as W3C Trace Context writes it.

A request that says `traceparent` names one; any other that changes something begins its own. A
document keeps that of its upload, and its stages go on with it in whatever process: in their log
lines, and in spans where those are sent somewhere.
"""

import secrets
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

HEADER = "traceparent"
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
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        here = trace.get_current_span(begun()).get_span_context()
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"


def trace_id(text: str | None) -> str | None:
    """The trace's id in a traceparent, for the log."""
    return text.split("-")[1] if text else None
