"""Read a multipart/form-data body as it streams in, with limits on everything that is kept.

Around the push parser of `python_multipart`: bytes in, events out, nothing buffered but headers and
short fields. `UploadFile` is not used: it swallows whole bodies before a route can refuse them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from docmill.errors import Problem

MOST_PARTS = 100
MOST_HEADERS = 16
LONGEST_HEADER = 48 * 1024  # a name of 10,000 letters gets its own refusal, not this one
LONGEST_BOUNDARY = 200


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part's headers are complete. `filename` is None for a plain field."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the current part."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The current part is complete."""


Event = PartBegins | PartData | PartEnds


class MultipartReader:
    """Turns a body's bytes into events; one per request.

    Raises (from every method): Problem MULTIPART_BROKEN or MEDIA_TYPE_UNSUPPORTED.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data":
            raise Problem(
                "MEDIA_TYPE_UNSUPPORTED",
                "Send the file as multipart/form-data with a part named `file`.",
            )
        if not 0 < len(boundary) <= LONGEST_BOUNDARY:
            raise _broken("its Content-Type names no usable boundary")
        self._events: list[Event] = []
        self._parts = 0
        self._ended = False
        self._headers: dict[bytes, bytes] = {}
        self._field = bytearray()
        self._value = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_to_field,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
            max_header_count=MOST_HEADERS,
            max_header_size=LONGEST_HEADER,
        )

    def feed(self, data: bytes) -> Iterator[Event]:
        """Parse some more of the body and give the events it completed."""
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise _broken(str(error).rstrip(".")) from error
        events, self._events = self._events, []
        yield from events

    def finish(self) -> None:
        """Say that the body has ended; it must have ended with its last boundary."""
        if not self._ended:
            raise _broken("it ends before its last boundary")

    # callbacks of the parser, in the order in which they come ----------------------------

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _broken(f"it has more than {MOST_PARTS} parts")
        self._headers.clear()

    def _add_to_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise _broken("a part has no name")
        filename = options.get(b"filename")
        self._events.append(
            PartBegins(_text(options[b"name"]), None if filename is None else _text(filename))
        )

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _end_part(self) -> None:
        self._events.append(PartEnds())

    def _end(self) -> None:
        self._ended = True


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _broken("a name in it is not UTF-8") from error


def _broken(reason: str) -> Problem:
    return Problem("MULTIPART_BROKEN", f"The body can't be read: {reason}. Nothing was stored.")
