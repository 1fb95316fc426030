"""What the queue's position in a status promises: the place in the owner's own line."""

import asyncio
from importlib.resources import files
from uuid import UUID

import pytest

from docmill import client_words, job_queue, status
from docmill.accepting import Accepted, Limits, NewDocument
from docmill.database import Addresses, ApiDatabase, Sync
from docmill.errors import Failure
from docmill.job_queue import Claimant
from docmill.receiving import IncomingFile
from docmill.retry import RetryPolicy
from made_rows import LEASE_SECONDS, OWNER, claimed, uploaded

ANOTHER = UUID("00000000-0000-4000-8000-0000000000ff")


def positions(addresses: Addresses, *ids: UUID, owner: UUID = OWNER) -> list[int | None]:
    """The positions of these documents, as their owner sees them."""

    async def read() -> dict[str, int | None]:
        api = ApiDatabase(addresses.api, connections=1)
        await api.open()
        try:
            async with api.reading(owner) as connection:
                rows = await status.read(connection, ids)
        finally:
            await api.close()
        return {row["document_id"]: row["queue_position"] for row in rows}

    found = asyncio.run(read())
    return [found[str(one)] for one in ids]


def test_position_is_the_order_in_which_the_owners_documents_are_claimed(
    admin: Sync, addresses: Addresses, worker_connection: Sync
) -> None:
    made = [uploaded(admin, priority=p).document_id for p in ("low", "normal", "high", "normal")]
    assert positions(addresses, *made) == [4, 2, 1, 3]
    order = []
    for _ in made:
        (first,) = [one for one in made if positions(addresses, one) == [1]]
        order.append(first)
        assert claimed(worker_connection).document_id == first
    assert order == [made[2], made[1], made[3], made[0]]
    assert positions(addresses, *made) == [None] * 4


def test_others_do_not_stand_in_an_owners_line(admin: Sync, addresses: Addresses) -> None:
    for _ in range(3):
        uploaded(admin, ANOTHER)
    mine = uploaded(admin).document_id
    assert positions(addresses, mine) == [1]


def test_what_was_begun_stands_before_what_was_not_and_later_tries_do_not_stand_in_line(
    admin: Sync, addresses: Addresses, worker_connection: Sync
) -> None:
    uploaded(admin)
    waits = uploaded(admin).document_id
    begun = claimed(worker_connection)
    job_queue.enqueue(worker_connection, begun, "chunk", [job_queue.Part(n) for n in range(2)])
    assert positions(addresses, waits) == [3]
    job_queue.claim(worker_connection, Claimant("w", LEASE_SECONDS), 2)
    assert positions(addresses, waits) == [1]
    job_queue.fail(worker_connection, begun, Failure("INTERNAL"), RetryPolicy(60, 60))
    assert positions(addresses, waits) == [1]


def test_what_is_new_is_told_the_place_that_its_status_tells(
    admin: Sync, addresses: Addresses, worker_connection: Sync
) -> None:
    for priority in ("low", "normal", "high", "normal"):
        uploaded(admin, priority=priority)
    uploaded(admin, ANOTHER)
    begun = claimed(worker_connection)
    job_queue.enqueue(worker_connection, begun, "chunk", [job_queue.Part(n) for n in range(2)])
    worker_connection.commit()
    sent = [accepted(addresses, priority) for priority in ("normal", "high", "low")]
    assert [place for _, place in sent] == [5, 3, 8]
    assert positions(addresses, *(document for document, _ in sent)) == [6, 3, 8]


def accepted(addresses: Addresses, priority: str) -> tuple[UUID, int | None]:
    """A document that the owner sends, and its place in line as the answer has it."""

    async def send() -> Accepted | None:
        api = ApiDatabase(addresses.api, connections=1)
        await api.open()
        try:
            file = IncomingFile(api, OWNER, Limits(1000, None, 5))
            await file.write(priority.encode())
            return await file.commit_new(NewDocument("a.txt", priority=priority))
        finally:
            await api.close()

    new = asyncio.run(send())
    assert new is not None
    return new.document_id, new.position


def test_the_end_of_the_line_stands_for_all_behind_it(
    admin: Sync, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "LINE_END", 3)
    made = [uploaded(admin).document_id for _ in range(5)]
    assert positions(addresses, *made) == [1, 2, 3, 3, 3]


def test_page_and_commands_know_where_the_end_of_the_line_is() -> None:
    words = files("docmill.web").joinpath("page/words.js").read_text(encoding="utf-8")
    assert f"const LINE_END = {status.LINE_END};" in words
    assert client_words.LINE_END == status.LINE_END
    assert client_words.place_in_line(3) == "waiting, number 3 in line"
    assert client_words.place_in_line(status.LINE_END).endswith("or further back")
