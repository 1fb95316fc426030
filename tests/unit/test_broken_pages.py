"""A page that breaks the parser costs itself, and not the file that it stands in."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docmill.errors import Failure
from docmill.model import Notice, Opened, Page
from docmill.parse_process import ParseLimits, ParseProcess, parser_zygote
from docmill.parse_stage import BROKEN_PAGES_PER_ATTEMPT, Event, around_broken_pages
from made_files import pdf, pdf_with_broken_pages

MIB = 1 << 20
Read = Callable[[int, int], Iterator[Event]]


@pytest.fixture
def parser() -> Iterator[ParseProcess]:
    zygote = parser_zygote()
    process = ParseProcess(ParseLimits(memory_bytes=160 * MIB), zygote)
    yield process
    process.close()
    zygote.close()


@pytest.fixture
def reading(parser: ParseProcess, tmp_path: Path) -> Iterator[Callable[[bytes], Read]]:
    opened = []

    def reading(content: bytes) -> Read:
        path = tmp_path / "upload"
        path.write_bytes(content)
        file = path.open("rb")
        opened.append(file)
        return lambda first, last: parser.parse(
            file, "a.pdf", first=first, last=last, stop=threading.Event()
        )

    yield reading
    for file in opened:
        file.close()


def pages(events: list[Event]) -> list[tuple[int, str]]:
    return [(event.number, event.text) for event in events if isinstance(event, Page)]


def skipped(events: list[Event]) -> list[int | None]:
    return [
        event.page
        for event in events
        if isinstance(event, Notice) and event.code == "PARTS_SKIPPED"
    ]


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_page_that_breaks_its_parser_is_left_out_and_the_others_are_read(
    reading: Callable[[bytes], Read], bad: int
) -> None:
    texts = ["one", "two", "three"]
    texts[bad - 1] = ""

    events = list(around_broken_pages(reading(pdf_with_broken_pages(*texts)), 1, 100))

    assert pages(events) == list(enumerate(texts, start=1))
    assert skipped(events) == [bad]


def test_file_of_one_page_that_breaks_its_parser_fails(reading: Callable[[bytes], Read]) -> None:
    with pytest.raises(Failure) as caught:
        list(around_broken_pages(reading(pdf_with_broken_pages("")), 1, 100))

    assert caught.value.code == "PARSER_OUT_OF_MEMORY"


def test_an_attempt_leaves_out_so_many_pages_and_fails_behind_them(
    reading: Callable[[bytes], Read],
) -> None:
    read = reading(pdf_with_broken_pages(*[""] * (BROKEN_PAGES_PER_ATTEMPT + 1)))
    events: list[Event] = []

    with pytest.raises(Failure):
        events.extend(around_broken_pages(read, 1, 100))

    assert skipped(events) == list(range(1, BROKEN_PAGES_PER_ATTEMPT + 1))


def test_page_that_breaks_its_parser_once_is_read_at_the_second_try(
    parser: ParseProcess, reading: Callable[[bytes], Read]
) -> None:
    read = reading(pdf(*["word " * 800] * 200))  # more than the pipe holds
    events: list[Event] = []

    for event in around_broken_pages(read, 1, 200):
        events.append(event)
        if isinstance(event, Page) and event.number == 7 and parser.pid:
            os.kill(parser.pid, signal.SIGKILL)

    assert [number for number, _ in pages(events)] == list(range(1, 201))
    assert skipped(events) == []


def test_file_without_pages_is_not_tried_page_by_page() -> None:
    failure = Failure("PARSER_STALLED", "Nothing came.")

    def read(first: int, last: int) -> Iterator[Event]:
        assert (first, last) == (1, 100), "it is read once"
        yield Opened("text/html", pages=None, ranged=False)
        raise failure

    with pytest.raises(Failure):
        list(around_broken_pages(read, 1, 100))
