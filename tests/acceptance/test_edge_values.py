"""Values at the edge of what can be kept: taken and given back as they were, or refused."""

import base64
import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from docmill.identity import LOCAL_OWNER
from running import Docmill

RAW = {
    "Content-Type": "application/octet-stream",
    "Content-Disposition": 'attachment; filename="a.txt"',
}
TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}
LONGEST_HEADER = 20_000
NO_JSON_OBJECT = [
    *('{"a": NaN}', '{"a": -Infinity}', '{"a": 1e400}', '{"a": [[1e999]]}'),
    *('{"a": "\\ud800"}', '{"\\udfff": 1}', '{"a": "\\u0000"}', '{"a\\u0000": 1}'),
    *('{"a":' + "[" * 150 + "]" * 150 + "}", '{"a":' + "[" * 30_000 + "]" * 30_000 + "}"),
    *("[]", "1", "null", '"text"', "{", '{"a": ' + "1" * 5000 + "}"),
]
JSON_OBJECTS = [
    {},
    {"a": "\\u0000", "\\ud800": ["\u2028\u202e\ufeff\uffff", "😀", "\x01\x1f\x7f"]},
    {"": {"": [None, True, False, 0, -1.5, 1e20, 10**400]}},
    {"deep": json.loads("[" * 90 + "]" * 90)},
]


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def upload_raw(docmill: Docmill, **query: str) -> httpx2.Response:
    return docmill.http.post("/documents", params=query, headers=RAW, content=uuid4().bytes)


def upload_form(docmill: Docmill, **fields: str) -> httpx2.Response:
    return docmill.http.post("/documents", files={"file": ("a.txt", uuid4().bytes)}, data=fields)


def begin_upload(docmill: Docmill, **fields: str) -> httpx2.Response:
    said = ",".join(f"{name} {base64.b64encode(v.encode()).decode()}" for name, v in fields.items())
    return docmill.http.post("/uploads", headers={**TUS, "Upload-Metadata": said})


WAYS = [upload_raw, upload_form, begin_upload]


@pytest.mark.parametrize(
    ("way", "metadata"),
    [(w, m) for w in WAYS for m in NO_JSON_OBJECT if w is upload_form or len(m) < LONGEST_HEADER],
)
def test_metadata_that_can_not_be_kept_is_refused(
    docmill: Docmill, way: Any, metadata: str
) -> None:
    assert code_of(way(docmill, metadata=metadata)) == (422, "FIELD_INVALID")


@pytest.mark.parametrize("value", JSON_OBJECTS)
def test_metadata_comes_back_as_it_was_and_is_found_by_all_of_it(
    docmill: Docmill, value: dict[str, Any]
) -> None:
    mark = uuid4().hex
    metadata = json.dumps({**value, "mark": mark})
    sent = {"file": ("a.txt", f"the lighthouse {mark}".encode())}
    answer = docmill.http.post("/documents", files=sent, data={"metadata": metadata})
    document = answer.json()["document_id"]
    docmill.completed(document)
    shown = docmill.http.get(f"/documents/{document}").json()
    assert shown["metadata"] == {**value, "mark": mark}
    (hit,) = docmill.search("lighthouse", filters={**value, "mark": mark})
    assert hit["metadata"] == shown["metadata"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("field", ["collection", "external_id", "priority", "on_duplicate"])
@pytest.mark.parametrize("value", ["a\0b", "x" * 201])
def test_text_that_can_not_be_kept_is_refused(
    docmill: Docmill, way: Any, field: str, value: str
) -> None:
    assert code_of(way(docmill, **{field: value})) == (422, "FIELD_INVALID")


@pytest.mark.parametrize("filters", NO_JSON_OBJECT)
def test_filter_that_can_match_nothing_kept_is_refused(docmill: Docmill, filters: str) -> None:
    body = f'{{"query": "a", "filters": {filters}}}'
    answer = docmill.http.post(
        "/search", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["code"] in {"BAD_REQUEST", "FIELD_INVALID"}


@pytest.mark.parametrize("query", ["\0", " \0 ", "\n", "\u2003", "", "a\0", "x" * 10_001])
def test_query_of_nothing_is_refused(docmill: Docmill, query: str) -> None:
    answer = docmill.http.post("/search", json={"query": query})
    assert code_of(answer) == (422, "FIELD_INVALID")


# tokens of our own form, with places that we never gave ------------------------------------


def token(listing: list[Any], place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([listing, place]).encode()).decode().rstrip("=")


ID = str(LOCAL_OWNER)


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("size", 10**30),
        ("size", -1),
        ("size", "1e9"),
        ("filename", "\0"),
        ("filename", "\ud800"),
        ("filename", None),
        ("created_at", "soon"),
        ("-created_at", float("inf")),
        ("-created_at", 1e300),
    ],
)
def test_token_with_an_impossible_place_is_refused(docmill: Docmill, sort: str, key: Any) -> None:
    given = token(["documents", ID, [], None, None, sort], [key, ID])
    answer = docmill.http.get("/documents", params={"sort": sort, "page_token": given})
    assert code_of(answer) == (400, "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize("key", ["\0", "\udfff", 1, None, ["a"]])
def test_token_of_collections_with_an_impossible_name_is_refused(
    docmill: Docmill, key: Any
) -> None:
    given = token(["collections", ID], [key])
    answer = docmill.http.get("/collections", params={"page_token": given})
    assert code_of(answer) == (400, "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize("content", [b"[" * 30_000, b"\xff", b"1", b"[1, 2, 3]", b"[[], NaN]"])
def test_what_is_no_token_is_refused(docmill: Docmill, content: bytes) -> None:
    given = base64.urlsafe_b64encode(content).decode()
    for path in ("/documents", "/collections"):
        answer = docmill.http.get(path, params={"page_token": given})
        assert code_of(answer) == (400, "PAGE_TOKEN_INVALID")


# addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a%00b", "%00", "x" * 1000])
def test_worker_that_can_not_be_is_refused(docmill: Docmill, name: str) -> None:
    answer = docmill.http.post(f"/operator/workers/{name}", json={"draining": True})
    assert code_of(answer) == (422, "FIELD_INVALID")


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1899-12-31T00:00:00Z"]
)
def test_moment_outside_of_the_calendar_is_refused(docmill: Docmill, moment: str) -> None:
    asked = {"code": "PARSER_DIED", "stage": "parse", "before": moment}
    assert code_of(docmill.http.post("/operator/retry", json=asked)) == (422, "FIELD_INVALID")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "%00",
            "%2500",
            "..%2f..%2fetc%2fpasswd",
            "%252e%252e",
            "%ff",
            "%ED%A0%80",
            "a/",
            "%0d%0a",
        ),
        *(
            f"{ID}%00",
            f"{ID}%2500",
            f"{ID.replace('-', '%252d')}",
            f"{ID}/",
            f"{ID};x=1",
            f" {ID}x",
        ),
    ],
)
def test_id_that_is_none_is_not_found_and_leads_nowhere(docmill: Docmill, path: str) -> None:
    for where in ("/documents/", "/uploads/"):
        headers = TUS if where == "/uploads/" else {}
        answer = docmill.http.request("DELETE", where + path, headers=headers)
        assert code_of(answer) == (404, "NOT_FOUND")
        assert "location" not in answer.headers


# names in Content-Disposition ------------------------------------------------------------


def sent_as(docmill: Docmill, disposition: str) -> httpx2.Response:
    headers = {
        b"Content-Type": b"application/octet-stream",
        b"Content-Disposition": disposition.encode(),
    }
    return docmill.http.post("/documents", content=uuid4().bytes, headers=headers)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="Résumé 漢字.txt"', "Résumé 漢字.txt"),
        ("attachment; filename*=UTF-8''R%C3%A9sum%C3%A9.txt", "Résumé.txt"),
        ("attachment; filename*=UTF-8''%22quoted%22%3B%20x%3D1.txt", '"quoted"; x=1.txt'),
    ],
)
def test_name_in_a_header_is_kept_as_it_is(docmill: Docmill, disposition: str, name: str) -> None:
    assert sent_as(docmill, disposition).json()["filename"] == name


@pytest.mark.parametrize(
    ("disposition", "code"),
    [
        ("attachment; filename*=UTF-8''%ff%fe.txt", "FIELD_INVALID"),
        ("attachment; filename*=UTF-8''%ED%A0%80.txt", "FIELD_INVALID"),
        ("attachment; filename*=UTF-8''a%0d%0aSet-Cookie:b", "FILENAME_HAS_CONTROL_CHARACTERS"),
        ("attachment; filename*=UTF-8''a%00.txt", "FILENAME_HAS_CONTROL_CHARACTERS"),
        ("attachment; filename*=UTF-8''%2e%2e%2fa", "FILENAME_HAS_PATH"),
    ],
)
def test_name_in_a_header_that_can_not_be_kept_is_refused(
    docmill: Docmill, disposition: str, code: str
) -> None:
    assert code_of(sent_as(docmill, disposition)) == (422, code)
