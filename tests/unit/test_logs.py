"""Lines of the log: what they say of their work, whoever writes them."""

import json
import logging
import subprocess
import sys
from typing import Any
from uuid import UUID, uuid4

from docmill import logs

DOCUMENT = uuid4()


def record(message: str, logger: str = "docmill", **more: Any) -> logging.LogRecord:
    made = logging.LogRecord(logger, logging.WARNING, "", 1, message, (), None)
    made.__dict__.update(more)
    return made


def as_object(line: logging.LogRecord) -> dict[str, Any]:
    text = logs.Objects().format(line)
    assert "\n" not in text
    said: dict[str, Any] = json.loads(text)
    return said


def test_object_says_what_it_is_about_from_the_innermost_block_that_knows() -> None:
    with logs.about(document_id=DOCUMENT, attempt=1, trace_id=None):
        with logs.about(attempt=2):
            inner = as_object(record("within", "uvicorn.error"))
        outer = as_object(record("around"))
    after = as_object(record("after"))
    assert (inner["document_id"], inner["attempt"]) == (str(DOCUMENT), 2)
    assert (inner["logger"], inner["level"], inner["message"]) == (
        "uvicorn.error",
        "warning",
        "within",
    )
    assert outer["attempt"] == 1
    assert "trace_id" not in outer
    assert "document_id" not in after


def test_what_is_noted_later_holds_to_the_end_of_its_block() -> None:
    logs.note(owner_id=1)  # nothing is around: nothing happens
    with logs.about():
        logs.note(owner_id=UUID(int=1))
        assert as_object(record("a"))["owner_id"] == str(UUID(int=1))
    assert "owner_id" not in as_object(record("b"))


def test_a_traceback_and_line_feeds_stay_in_the_one_line() -> None:
    error = ValueError("a\nb")
    said = as_object(record("it\nfailed", exc_info=(ValueError, error, None)))
    assert said["message"] == "it\nfailed"
    assert "ValueError: a\nb" in said["exception"]


def test_line_for_people_ends_with_what_its_sentence_does_not_say() -> None:
    with logs.about(document_id=DOCUMENT, stage="parse"):
        assert logs.Lines().format(record(f"{DOCUMENT} ends")).endswith("ends [stage=parse]")
        assert (
            logs.Lines()
            .format(record("it ends"))
            .endswith(f"ends [document_id={DOCUMENT} stage=parse]")
        )
    assert logs.Lines().format(record("it ends")).endswith("WARNING it ends")


CRASHES = """
import logging, sys, threading, warnings
from docmill import logs
logs.configure("info", "json")
logging.getLogger("uvicorn.error").warning("from the web server")
warnings.warn("something is old")
def fail(): raise RuntimeError("in a thread")
thread = threading.Thread(target=fail); thread.start(); thread.join()
raise RuntimeError("at the end")
"""


def test_there_is_no_other_line_than_json_even_at_a_crash() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CRASHES], capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert ran.returncode == 1
    told = "\n".join(f"{line['level']} {line['message']} {line.get('exception')}" for line in lines)
    for part in ("warning from the web server", "something is old", "in a thread", "at the end"):
        assert part in told
