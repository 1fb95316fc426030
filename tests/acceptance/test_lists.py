"""Lists of documents, collections and a document's text, from outside."""

from typing import Any
from uuid import uuid4

import pytest

from made_files import noise, pdf
from running import Docmill

UNKNOWN = "00000000-0000-4000-8000-00000000dead"


def listed(docmill: Docmill, **params: Any) -> dict[str, Any]:
    answer = docmill.http.get("/documents", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def names(docmill: Docmill, **params: Any) -> list[str]:
    return [document["filename"] for document in listed(docmill, **params)["documents"]]


def paged(docmill: Docmill, **params: Any) -> list[str]:
    """The names of a whole list, read two by two."""
    found, token = [], ""
    while True:
        page = listed(docmill, page_size=2, page_token=token, **params)
        found += [document["filename"] for document in page["documents"]]
        if not (token := page["next_page_token"]):
            return found


@pytest.fixture(scope="module")
def shelf(docmill: Docmill) -> str:
    """A collection with five documents, two of which fail."""
    collection = f"shelf {uuid4().hex}"
    mark = uuid4().hex
    contents = {
        "beta.txt": f"{mark} 1 bb".encode(),
        "Alpha.txt": f"{mark} 2".encode(),
        "Ärger 100%_sure.txt": f"{mark} 3 ccc".encode(),
        "gamma.bin": bytes(range(256)) * 2,
        "Beta.bin": bytes(range(256)) * 3,
    }
    for name, content in contents.items():
        docmill.ended(docmill.upload(name, content, collection=collection, external_id=f"x-{name}"))
    return collection


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("filename", ["Alpha.txt", "Beta.bin", "beta.txt", "gamma.bin", "Ärger 100%_sure.txt"]),
        ("size", ["Alpha.txt", "beta.txt", "Ärger 100%_sure.txt", "gamma.bin", "Beta.bin"]),
        ("created_at", ["beta.txt", "Alpha.txt", "Ärger 100%_sure.txt", "gamma.bin", "Beta.bin"]),
    ],
)
def test_a_list_is_sorted_both_ways_and_read_page_by_page_without_a_gap(
    docmill: Docmill, shelf: str, sort: str, expected: list[str]
) -> None:
    assert paged(docmill, collection=shelf, sort=sort) == expected
    assert paged(docmill, collection=shelf, sort=f"-{sort}") == expected[::-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BETA", ["beta.txt", "Beta.bin"]),
        ("ärger", ["Ärger 100%_sure.txt"]),
        ("100%_", ["Ärger 100%_sure.txt"]),
        ("a%a", []),
        ("x-gamma.bin", ["gamma.bin"]),
        ("\\", []),
    ],
)
def test_a_list_is_searched_by_name_and_by_external_id(
    docmill: Docmill, shelf: str, text: str, expected: list[str]
) -> None:
    assert names(docmill, collection=shelf, q=text, sort="created_at") == expected


def test_a_document_is_found_by_its_id(docmill: Docmill, shelf: str) -> None:
    document = listed(docmill, collection=shelf)["documents"][0]
    assert names(docmill, q=document["document_id"]) == [document["filename"]]


def test_several_states_are_listed_together_and_counted_apart(docmill: Docmill, shelf: str) -> None:
    body = listed(docmill, collection=shelf, status="failed,cancelled", summary=True)
    assert {document["filename"] for document in body["documents"]} == {"gamma.bin", "Beta.bin"}
    assert body["summary"]["counts"] == {
        "queued": 0, "processing": 0, "completed": 3, "failed": 2, "cancelled": 0
    }  # fmt: skip
    assert body["summary"]["live_workers"] > 0
    repeated = docmill.http.get("/documents", params={"status": ["failed", "completed"]})
    assert repeated.status_code == 200


def test_the_summary_of_a_poll_counts_the_whole_list(docmill: Docmill, shelf: str) -> None:
    first = listed(docmill, collection=shelf)["documents"][0]
    body = listed(docmill, ids=first["document_id"], collection=shelf, summary=True)
    assert len(body["documents"]) == 1
    assert sum(body["summary"]["counts"].values()) == 5
    assert "summary" not in listed(docmill, ids="")


@pytest.mark.parametrize(
    "params",
    [
        {"status": "done"},
        {"status": "failed,nonsense"},
        {"sort": "colour"},
        {"sort": "--size"},
        {"q": "a\0"},
        {"q": "a" * 256},
        {"summary": "perhaps"},
        {"ids": "no-id"},
    ],
)
def test_a_wrong_filter_is_refused(docmill: Docmill, params: dict[str, str]) -> None:
    answer = docmill.http.get("/documents", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "FIELD_INVALID")


def test_an_unknown_collection_is_an_empty_list(docmill: Docmill) -> None:
    assert names(docmill, collection=uuid4().hex) == []


def test_a_token_goes_with_its_sort(docmill: Docmill, shelf: str) -> None:
    token = listed(docmill, collection=shelf, sort="size", page_size=1)["next_page_token"]
    answer = docmill.http.get(
        "/documents", params={"collection": shelf, "sort": "filename", "page_token": token}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "PAGE_TOKEN_INVALID")


def test_collections_are_listed_with_their_sizes(docmill: Docmill, shelf: str) -> None:
    found: dict[str, int] = {}
    token = ""
    while True:
        page = docmill.http.get("/collections", params={"page_size": 1, "page_token": token}).json()
        found |= {row["name"]: row["documents"] for row in page["collections"]}
        if not (token := page["next_page_token"]):
            break
    assert found[shelf] == 5
    assert list(found) == sorted(found)


# the text of a document ------------------------------------------------------------------


def test_the_text_is_read_page_by_page_beside_its_passages(docmill: Docmill) -> None:
    mark = uuid4().hex
    pages = [f"Page {number} of {mark}. " + "filler words " * 40 for number in range(1, 8)]
    document_id = docmill.upload("leaves.pdf", pdf(*pages))
    docmill.completed(document_id)
    where = f"/documents/{document_id}/text"
    leaves = [docmill.http.get(where).json()]
    while (at := leaves[-1]["next_at"]) is not None:
        leaves.append(docmill.http.get(where, params={"at": at}).json())
    assert [leaf["page"] for leaf in leaves] == list(range(1, 8))
    text = "\n\n".join(leaf["text"] for leaf in leaves)
    assert len(text) == leaves[0]["characters"]
    for leaf in leaves:
        assert text[leaf["char_start"] : leaf["char_end"]] == leaf["text"]
        assert docmill.http.get(where, params={"page": leaf["page"]}).json() == leaf
    assert [leaf["previous_at"] for leaf in leaves[1:]] == [x["char_start"] for x in leaves[:-1]]
    chunks = docmill.http.get(f"/documents/{document_id}/chunks").json()["chunks"]
    for leaf in leaves:
        assert [chunk["ordinal"] for chunk in leaf["chunks"]] == [
            chunk["ordinal"]
            for chunk in chunks
            if chunk["char_start"] < leaf["char_end"] and chunk["char_end"] > leaf["char_start"]
        ]
    assert docmill.http.get(where, params={"page": 999}).json()["page"] == 7


def test_a_page_that_is_long_is_read_leaf_by_leaf(docmill: Docmill) -> None:
    text = f"{uuid4().hex} " + "one long page of words. " * 2500
    document_id = docmill.upload("long.txt", text.encode())
    docmill.completed(document_id)
    where = f"/documents/{document_id}/text"
    read = ""
    at: int | None = 0
    while at is not None:
        leaf = docmill.http.get(where, params={"at": at}).json()
        assert len(leaf["text"]) <= 20_000
        read += leaf["text"]
        at = leaf["next_at"]
    assert read == text
    inside = docmill.http.get(where, params={"at": 45_678}).json()
    assert inside["char_start"] <= 45_678 < inside["char_end"]
    assert (
        docmill.http.get(where, params={"at": inside["previous_at"]}).json()["char_end"]
        == (inside["char_start"])
    )


def test_a_document_without_pages_has_an_empty_text(docmill: Docmill) -> None:
    document_id = docmill.upload("noise.bin", noise())
    docmill.ended(document_id)
    leaf = docmill.http.get(f"/documents/{document_id}/text").json()
    assert (leaf["page"], leaf["text"], leaf["chunks"]) == (None, "", [])
    assert docmill.http.get(f"/documents/{UNKNOWN}/text").status_code == 404


def test_hits_say_where_the_words_stand(docmill: Docmill) -> None:
    mark = uuid4().hex
    docmill.completed(docmill.upload("words.txt", f"The café of {mark} is closed.".encode()))
    hit = docmill.search(f"CAFE {mark}")[0]
    assert [hit["text"][start:end] for start, end in hit["matches"]] == ["café", mark]


def test_a_long_answer_is_sent_packed_to_who_takes_it(docmill: Docmill, shelf: str) -> None:
    where = {"collection": shelf}
    packed = docmill.http.get("/documents", params=where)
    assert packed.headers["content-encoding"] == "gzip"
    plain = docmill.http.get("/documents", params=where, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == packed.json()
    assert plain.headers["etag"] == packed.headers["etag"]
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
