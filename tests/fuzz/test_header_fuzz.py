"""What clients say in headers and in the address: taken, or refused with a code."""

import base64
import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request

from docmill import digests, storable
from docmill.filename import LONGEST_BYTES
from docmill.web import documents, paging, tus
from docmill.web.edge import host_name
from fuzz.mutations import refusal

latin = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=200)
texts = st.text(max_size=60)
plain = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(plain, lambda v: st.lists(v) | st.dictionaries(texts, v), max_leaves=10)
keys = st.sampled_from(["filename", "name", "metadata", "collection", "priority", "type", "x"])


def encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def token_of(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()


pairs = st.lists(st.tuples(keys | texts, texts | values.map(json.dumps)), max_size=6)
metadata = pairs.map(lambda said: ",".join(f"{key} {encoded(text)}" for key, text in said))


@given(metadata | latin)
@example("filename \x80")
def test_metadata_of_an_upload_is_kept_whole_or_refused(header: str) -> None:
    code = refusal(lambda: tus.said_in(header))
    if code:
        assert code in {"UPLOAD_HEADER_INVALID", "FIELD_INVALID"} or code.startswith("FILENAME_")
        return
    said = tus.said_in(header)
    assert 0 < len(said.filename.encode()) <= LONGEST_BYTES
    assert storable.is_json(said.metadata)
    assert all(storable.is_text(text or "") for text in (said.collection, said.external_id))


@given(values)
def test_json_that_is_kept_comes_back_from_text_as_it_was(value: Any) -> None:
    if storable.is_json(value):
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        assert json.loads(text.encode()) == value
        assert "\0" not in text


@given(latin | st.from_regex(r"sha-?(1|256|512)[ =]:?[A-Za-z0-9+/]{0,90}=*:?", fullmatch=True))
@example("sha1 \x80")
def test_digest_is_read_or_refused(header: str) -> None:
    assert refusal(lambda: digests.stated([header])) in {None, "DIGEST_INVALID"}
    assert refusal(lambda: digests.tus_checksum(header)) in {None, "DIGEST_INVALID"}


@given(latin | st.from_regex(r"bytes=[0-9]{0,30}-[0-9]{0,30}"), st.integers(1, 2**62))
def test_range_lies_within_the_file_or_is_refused(header: str, size: int) -> None:
    if refusal(lambda: documents.asked_range(header, size)) is None:
        first, last = documents.asked_range(header, size)
        assert 0 <= first <= last < size
    else:
        assert refusal(lambda: documents.asked_range(header, size)) == "RANGE_INVALID"


@given(latin | st.from_regex(r"wait ?= ?\"?[0-9]{0,30}\"?", fullmatch=True))
def test_nobody_waits_longer_than_is_allowed(header: str) -> None:
    named = [(b"prefer", header.encode("latin-1"))]
    seconds = documents.wait_asked(Request({"type": "http", "headers": named}))
    assert seconds is None or 0 <= seconds <= documents.LONGEST_WAIT_SECONDS


@given(texts | (st.binary() | values.map(json.dumps).map(str.encode)).map(token_of))
def test_what_is_no_token_of_this_list_is_refused(token: str) -> None:
    expected = "PAGE_TOKEN_INVALID" if token else None
    assert refusal(lambda: paging.place(["a", "b"], token)) == expected


@given(st.lists(values, max_size=3).filter(storable.is_json))
def test_token_gives_back_its_place_and_only_in_its_list(place: list[Any]) -> None:
    token = paging.token(["a", 1], place)
    assert paging.place(["a", 1], token) == place
    assert refusal(lambda: paging.place(["a", 2], token)) == "PAGE_TOKEN_INVALID"


@given(latin)
def test_any_host_has_a_name(host: str) -> None:
    assert host_name(host) in host.lower()
