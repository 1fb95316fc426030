"""What may be a file's name. A name is data: it is shown and searched, and never used as a path."""

import unicodedata

from docmill.errors import Problem

LONGEST_BYTES = 255
MOST_JOINED = 4
# Characters that reorder or break what is shown: "exe.fdp" can be made to look like "pdf.exe".
DECEPTIVE = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def checked(name: str) -> str:
    """The name in Unicode's composed form.

    Raises:
        Problem: FILENAME_HAS_PATH, FILENAME_HAS_CONTROL_CHARACTERS or FILENAME_TOO_LONG.
    """
    if any(_is_control(character) for character in name):
        raise Problem(
            "FILENAME_HAS_CONTROL_CHARACTERS",
            "The file name has line ends, other control characters or characters that change the"
            " writing direction. Rename the file.",
        )
    if "/" in name or "\\" in name or name.strip() in {"", ".", ".."}:
        raise Problem(
            "FILENAME_HAS_PATH",
            "The file name must be a name alone, such as report.pdf, without folders.",
        )
    # Composing takes the square of a run of accents, and joins at most four characters in one.
    hopeless = len(name) > MOST_JOINED * LONGEST_BYTES
    composed = name if hopeless else unicodedata.normalize("NFC", name)
    size = len(composed.encode())
    if size > LONGEST_BYTES:
        raise Problem(
            "FILENAME_TOO_LONG",
            f"The file name has {size:,} bytes; {LONGEST_BYTES} are taken. Shorten it.",
        )
    return composed


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"} or character in DECEPTIVE
