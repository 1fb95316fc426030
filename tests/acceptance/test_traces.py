"""One upload is one trace, in whatever process its stages run; a real receiver of OTLP sees it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from embedding_server import MOODS, EmbeddingServer, well
from otlp_receiver import OtlpReceiver, Received
from running import Docmill, until

CALLER = "b7ad6b7169203331"


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


@pytest.fixture(scope="module")
def service() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    receiver: OtlpReceiver, service: EmbeddingServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Docmill]:
    quick = {"DOCMILL_BACKOFF_SECONDS": "0.1", "DOCMILL_POLL_SECONDS": "0.1"}
    env = {**receiver.settings, **service.settings, **quick}
    docmill = Docmill(tmp_path_factory.mktemp("traced") / "data", env=env)
    yield docmill
    docmill.stop()


def upload(docmill: Docmill, trace: str, *, recorded: bool = True) -> str:
    headers = {"traceparent": f"00-{trace}-{CALLER}-0{int(recorded)}"}
    content = uuid4().hex.encode()
    answer = docmill.http.post("/documents", files={"file": ("a.txt", content)}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["document_id"])


def spans(receiver: OtlpReceiver, trace: str, count: int) -> dict[str, list[Received]]:
    """The spans of a trace by name, as soon as there are so many."""
    found = until(
        lambda: got if len(got := receiver.of(trace)) >= count else None, "the spans have come"
    )
    by_name: dict[str, list[Received]] = {}
    for span in found:
        by_name.setdefault(span.name, []).append(span)
    return by_name


def test_upload_and_stages_are_one_trace_across_processes(
    traced: Docmill, receiver: OtlpReceiver
) -> None:
    trace = uuid4().hex
    document_id = upload(traced, trace)
    traced.completed(document_id)
    found = spans(receiver, trace, 5)
    assert set(found) == {"POST /documents", "parse", "chunk", "embed", "embedding service"}
    ((request,), *stages) = (found[name] for name in ("POST /documents", "parse", "chunk", "embed"))
    assert request.parent == CALLER
    assert request.attributes["http.response.status_code"] == 202
    for (span,) in stages:
        assert span.parent == request.id
        assert span.attributes["docmill.document_id"] == document_id
        assert (span.attributes["docmill.attempt"], span.failed) == (1, False)
        assert span.attributes["docmill.outcome"] == "succeeded"
        assert span.resource["process.pid"] != request.resource["process.pid"]
        assert (span.resource["service.name"], span.resource["docmill.role"]) == (
            "docmill",
            "worker",
        )
    assert request.attributes["docmill.document_id"] == document_id
    assert found["embedding service"][0].parent == found["embed"][0].id
    assert receiver.headers[-1]["x-tenant"] == "mill"


def test_a_try_that_fails_is_a_span_with_its_error_and_the_next_one_another(
    traced: Docmill, receiver: OtlpReceiver, service: EmbeddingServer
) -> None:
    trace = uuid4().hex
    service.mood = MOODS["fails"]
    document_id = upload(traced, trace)
    until(lambda: traced.status(document_id)["error"], "the service fails")
    service.mood = well
    traced.completed(document_id)
    tries = sorted(
        until(
            lambda: (
                ended
                if (ended := [span for span in receiver.of(trace) if span.name == "embed"])
                and not ended[-1].failed
                else None
            ),
            "the last try has come",
        ),
        key=lambda span: span.attributes["docmill.attempt"],
    )
    assert [span.attributes["docmill.attempt"] for span in tries] == [*range(1, len(tries) + 1)]
    assert len(tries) > 1
    for span in tries[:-1]:
        assert span.failed
        ((event, about),) = span.events
        assert (event, about["exception.type"]) == ("exception", "EMBEDDER_UNAVAILABLE")
    assert len({span.parent for span in tries}) == 1


def test_caller_who_records_nothing_is_not_recorded(
    traced: Docmill, receiver: OtlpReceiver
) -> None:
    quiet, loud = uuid4().hex, uuid4().hex
    traced.completed(upload(traced, quiet, recorded=False))
    traced.completed(upload(traced, loud))
    spans(receiver, loud, 5)
    assert receiver.of(quiet) == []


def test_spans_quote_nothing_of_documents_or_owners(
    traced: Docmill, receiver: OtlpReceiver
) -> None:
    trace = uuid4().hex
    traced.completed(upload(traced, trace))
    traced.http.get("/documents", params={"text": "whom I look for"})
    assert traced.http.post("/documents", files={"file": ("../a.txt", b"")}).status_code == 422
    spans(receiver, trace, 5)
    status = "http.response.status_code"
    until(lambda: 422 in [span.attributes.get(status) for span in receiver.spans], "refusal")
    assert {span.name for span in receiver.spans} == {
        *("POST /documents", "parse", "chunk", "embed", "embedding service")
    }, "who only looks is no span"
    told = str(receiver.spans)
    assert "a.txt" not in told
    assert "00000000-0000-4000-8000-000000000001" not in told


def test_docmill_works_and_ends_in_time_while_nobody_takes_its_traces(tmp_path: Path) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    docmill = Docmill(tmp_path / "data", env=env)
    docmill.completed(docmill.upload("a.txt", b"nobody listens"))
    assert docmill.stop() == 0
    assert not [line for line in docmill.started.said if "is killed" in line]


# off, and not there ----------------------------------------------------------------------

OFF = """
import sys
from docmill import tracing, serve, worker
with tracing.sending("api"):
    assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
"""
NOT_THERE = """
import sys
for name in ("opentelemetry.sdk.trace", "opentelemetry.sdk"):
    sys.modules[name] = None
from docmill import logs, tracing
logs.configure("info", "text")
with tracing.sending("api"):
    print("goes on")
"""
NOT_SPOKEN = NOT_THERE.replace("sys.modules[name] = None", "assert name not in sys.modules")


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", code], env={**kept, **env}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_where_no_traces_are_wanted_nothing_of_it_is_loaded(env: dict[str, str]) -> None:
    run(OFF, **env)


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"]
)
def test_a_protocol_that_is_not_spoken_is_told(name: str) -> None:
    ran = run(NOT_SPOKEN, OTEL_TRACES_EXPORTER="otlp", **{name: "grpc"})
    assert "goes on" in ran.stdout
    assert f"{name} is 'grpc'" in ran.stderr


def test_without_the_extra_one_line_says_how_to_get_it_and_docmill_goes_on() -> None:
    ran = run(NOT_THERE, OTEL_TRACES_EXPORTER="otlp")
    assert "goes on" in ran.stdout
    assert "pip install 'docmill[otel]'" in ran.stderr
