"""What clients send: multipart bodies and file names."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from docmill import filename
from docmill.multipart import MultipartReader, PartBegins, PartData, PartEnds
from fuzz.mutations import damaged, refusal, split

TYPE = "multipart/form-data; boundary=xyz"
readable = st.characters(codec="utf-8", exclude_characters='"\\\r\n\0')
headers = st.text(st.characters(codec="latin-1"), max_size=60)
names = st.text(readable, min_size=1, max_size=30)
bodies = st.lists(st.tuples(names, names | st.none(), st.binary(max_size=200)), max_size=5)
sizes = st.lists(st.integers(0, 60), max_size=20)

Parts = list[tuple[str, str | None, bytes]]


def encoded(parts: Parts) -> bytes:
    """A body as browsers send it."""
    out = b""
    for name, file, data in parts:
        more = f'; filename="{file}"' if file is not None else ""
        out += f'--xyz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
        out += data + b"\r\n"
    return out + b"--xyz--\r\n"


def read(body: bytes, sizes: list[int]) -> Parts:
    """What the reader makes of a body that comes in parts of these sizes."""
    reader = MultipartReader(TYPE)
    parts: Parts = []
    for piece in split(body, sizes):
        for event in reader.feed(piece):
            match event:
                case PartBegins(name, file):
                    parts.append((name, file, b""))
                case PartData(data):
                    name, file, before = parts[-1]
                    parts[-1] = (name, file, before + data)
                case PartEnds():
                    pass
    reader.finish()
    return parts


GOOD = encoded([("file", "a.pdf", b"%PDF-1.4 ..."), ("collection", None, b"one"), ("x", "y", b"")])


@given(bodies, sizes)
def test_body_is_read_alike_however_it_is_cut(parts: Parts, sizes: list[int]) -> None:
    parts = [(name, file, data) for name, file, data in parts if b"--xyz" not in data]

    assert read(encoded(parts), sizes) == parts


@given(damaged([GOOD, encoded([]), GOOD[:-9]]), sizes)
def test_damaged_body_is_read_or_refused(body: bytes, sizes: list[int]) -> None:
    assert refusal(lambda: read(body, sizes)) in {None, "MULTIPART_BROKEN"}


@given(headers | headers.map(f"{TYPE}; boundary=".__add__))
def test_any_content_type_is_taken_or_refused(content_type: str) -> None:
    assert refusal(lambda: MultipartReader(content_type)) in {
        None,
        "MULTIPART_BROKEN",
        "MEDIA_TYPE_UNSUPPORTED",
    }


@given(st.text(max_size=300) | st.text("a\u0301\u0323/\\.\r\n\u202e\ud800", max_size=300))
def test_name_that_is_taken_is_safe_to_show_and_to_store(name: str) -> None:
    if code := refusal(lambda: filename.checked(name)):
        assert code.startswith("FILENAME_")
        return
    taken = filename.checked(name)
    assert 0 < len(taken.encode()) <= filename.LONGEST_BYTES
    assert not set(taken) & set("/\\\0\r\n\t\u202e")
    assert taken == unicodedata.normalize("NFC", taken) == filename.checked(taken)
