"""A text's words with their places, as full-text search has them: a `tsvector`, in binary.

As a literal they took twice as long to write out here, and three times as long to read there.
"""

from collections import defaultdict
from dataclasses import dataclass

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.postgres import types
from psycopg.pq import Format

from docmill.lexical import words

LAST_PLACE = 16383  # that a tsvector can name; words behind it all stand there
MOST_PLACES = 255  # of one word
# The places of a passage's words, ready. A passage of 1,000 characters has no more than 500 words.
PLACES = [place.to_bytes(2, "big") for place in range(1, 513)]
# Behind a word, which ends with a zero byte: how many places follow.
COUNTS = [b"\0" + count.to_bytes(2, "big") for count in range(MOST_PLACES + 1)]


@dataclass(frozen=True, slots=True)
class Tsvector:
    """What PostgreSQL reads: the number of words, then each word with its places in order."""

    content: bytes


class TsvectorDumper(Dumper):
    """For a placeholder `%b`, of one or of a list."""

    format = Format.BINARY
    oid = types["tsvector"].oid

    def dump(self, obj: Tsvector) -> Buffer:
        """Nothing is left to do."""
        return obj.content


psycopg.adapters.register_dumper(Tsvector, TsvectorDumper)


def tsvector(text: str) -> Tsvector:
    """The words of a text, each once, with the places where it stands, counted from 1."""
    found = words(text)
    places: defaultdict[str, list[bytes]] = defaultdict(list)
    for word, place in zip(found, PLACES, strict=False):
        places[word].append(place)
    for number, word in enumerate(found[len(PLACES) :], start=len(PLACES) + 1):
        place = min(number, LAST_PLACE).to_bytes(2, "big")
        if places[word][-1:] != [place]:
            places[word].append(place)
    parts = [len(places).to_bytes(4, "big")]
    for word, several in places.items():
        kept = several[:MOST_PLACES]
        parts += (word.encode(), COUNTS[len(kept)], *kept)
    return Tsvector(b"".join(parts))
