"""How documents stand, in words for a terminal. Pure: a status in, a sentence out."""

from docmill.client_types import Count, Status


def sentence_of(status: Status) -> str:
    """How a document stands, in words."""
    error = status["error"]
    match status["status"]:
        case "queued":
            return f"waiting, number {status['queue_position']} in line"
        case "completed":
            return "searchable"
        case "failed":
            return f"failed: {error['detail']}" if error else "failed"
        case "cancelled":
            return "cancelled"
    if status["next_attempt_at"] and error:
        return f"{error['title']}; next try at {status['next_attempt_at'][11:19]} UTC"
    return _working(status)


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
