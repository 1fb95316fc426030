"""How documents stand, in words for a terminal. Pure: a status in, a sentence out."""

from docmill.client_types import Count, Status

# The server counts places in line as far as this: status.py.
LINE_END = 200


def sentence_of(status: Status) -> str:
    """How a document stands, in words."""
    error = status["error"]
    match status["status"]:
        case "queued":
            return place_in_line(status["queue_position"])
        case "completed":
            return "searchable"
        case "failed":
            return f"failed: {error['detail']}" if error else "failed"
        case "cancelled":
            return "cancelled"
    if status["next_attempt_at"] and error:
        return f"{error['title']}; next try at {status['next_attempt_at'][11:19]} UTC"
    return _working(status)


def place_in_line(position: int | None) -> str:
    """Where a document waits; who is told the end of the line stands there or behind."""
    if position is None:
        return "waiting"
    behind = " or further back" if position >= LINE_END else ""
    return f"waiting, number {position} in line{behind}"


def _working(status: Status) -> str:
    match status["stage"]:
        case "chunk":
            return "splitting into passages"
        case "embed":
            return f"embedding {_units(status['progress']['embed'])}"
        case _:
            return f"reading pages {_units(status['progress']['parse'])}"


def _units(count: Count) -> str:
    return f"{count['done']} of {count['total']}" if count["total"] else f"{count['done']}"


def megabytes(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size / 1e6:.1f} MB"
