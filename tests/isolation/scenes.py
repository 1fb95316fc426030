"""What sessions find when they meet, made by docmill's own operations."""

from dataclasses import dataclass, field
from typing import NoReturn
from uuid import UUID

import pytest

from docmill import attempt
from docmill.accepting import NewDocument
from docmill.errors import Stopped
from docmill.model import Job
from isolation.cast import Cast
from made_files import pdf

HELLO, OTHER = b"hello", b"hello again"
HELLO_TXT = NewDocument("a.txt")
# With parts of one page and of one passage: three parts to read, two parts to embed.
THREE_PAGES = pdf("The first page. ", "The second page. ", "The third page. ")
TWO_PASSAGES = b"# One\n\n" + b"word " * 160 + b"\n\n# Two\n\n" + b"more " * 160


@dataclass(slots=True)
class Scene:
    """A document, and the jobs that workers hold, by the worker's name."""

    document_id: UUID
    held: dict[str, Job] = field(default_factory=dict)


def nothing(_: Cast) -> Scene:
    """Nobody has uploaded anything."""
    return Scene(UUID(int=0))


def waiting(cast: Cast) -> Scene:
    """A document that nobody has begun with."""
    return _uploaded(cast, "a.txt", HELLO)


def two_waiting(cast: Cast) -> Scene:
    """Two documents that nobody has begun with."""
    _uploaded(cast, "b.txt", OTHER)
    return waiting(cast)


def begun(cast: Cast) -> Scene:
    """The first worker is about to read the document, and will carry it through all stages."""
    return _held(cast, waiting(cast), "first")


def held(cast: Cast) -> Scene:
    """The first worker is about to embed the document, its last stage."""
    return _about_to_embed(cast, begun(cast))


def one_completed_one_held(cast: Cast) -> Scene:
    """A document that is searchable, and one that the first worker is about to embed."""
    completed(cast)
    return _about_to_embed(cast, _held(cast, _uploaded(cast, "b.txt", OTHER), "first"))


def _about_to_embed(cast: Cast, scene: Scene) -> Scene:
    _carry_until(cast, "embed", scene)
    return _held(cast, scene, "first")


def overdue(cast: Cast) -> Scene:
    """The first worker's lease has run out, and nobody has noticed yet."""
    scene = held(cast)
    cast.admin.execute("update processing_jobs set lease_until = now() where status = 'running'")
    return scene


def overdue_at_last(cast: Cast) -> Scene:
    """As above, and it was the last attempt that there is."""
    scene = overdue(cast)
    cast.admin.execute("update processing_jobs set max_attempts = attempt - released")
    return scene


def session_lost(cast: Cast) -> Scene:
    """The first worker's session ended while it held the document, and it has not beaten since."""
    scene = held(cast)
    cast.admin.execute(
        "insert into workers (id, slots, is_direct, seen_at, session_pid, session_start)"
        " values (%s, 1, true, now() - interval '2 hours', 0, now())",
        [cast.workers["first"].id],
    )
    return scene


def cancelled(cast: Cast) -> Scene:
    """The document was cancelled, and the first worker has not heard of it."""
    scene = held(cast)
    _cancel(cast, scene)
    return scene


def completed(cast: Cast) -> Scene:
    """The document is searchable."""
    scene = begun(cast)
    _carry(cast, scene)
    return scene


def left_over(cast: Cast) -> Scene:
    """The first generation serves; two more were cancelled when they were about to be embedded.

    Of the second of the three everything is left, and it ended long ago.
    """
    scene = completed(cast)
    for _ in range(2):
        _made_anew_until_embed(cast, scene)
        _cancel(cast, scene)
    _let_time_pass(cast)
    return scene


def made_anew(cast: Cast) -> Scene:
    """As above, but the first worker is about to embed the third generation."""
    scene = completed(cast)
    _made_anew_until_embed(cast, scene)
    _cancel(cast, scene)
    _made_anew_until_embed(cast, scene)
    _let_time_pass(cast)
    return scene


def _cancel(cast: Cast, scene: Scene) -> None:
    owner = cast.owners["owner"]
    owner.session.call(lambda: owner.cancel(scene.document_id))


def _made_anew_until_embed(cast: Cast, scene: Scene) -> None:
    owner = cast.owners["owner"]
    owner.session.call(lambda: owner.reprocess(scene.document_id))
    _about_to_embed(cast, _held(cast, scene, "first"))


def _let_time_pass(cast: Cast) -> None:
    """Let everything that has ended have ended a year ago."""
    cast.admin.execute(
        "set session_replication_role = replica;"
        " update processing_jobs set finished_at = finished_at - interval '1 year'"
        " where finished_at is not null;"
        " update job_attempts set ended_at = ended_at - interval '1 year'"
        " where ended_at is not null;"
        " set session_replication_role = origin"
    )


def replaced(cast: Cast) -> Scene:
    """As held, but what is embedded are other bytes than those that serve."""
    known = NewDocument("a.txt", external_id="known")
    _carry(cast, _held(cast, _accepted(cast, known, HELLO), "first"))
    return _about_to_embed(cast, _held(cast, _accepted(cast, known, OTHER), "first"))


def unsplit(cast: Cast) -> Scene:
    """The first worker is about to read a document of three parts, and does not know it yet."""
    return _held(cast, _uploaded(cast, "three.pdf", THREE_PAGES), "first")


def two_parts_to_read(cast: Cast) -> Scene:
    """Two workers hold the last two parts of the document's first stage."""
    scene = unsplit(cast)
    _carry(cast, scene)
    return _held(cast, scene, "first", "second")


def uncut(cast: Cast) -> Scene:
    """The first worker is about to cut a document into passages, which are two further jobs."""
    scene = _held(cast, _uploaded(cast, "two.md", TWO_PASSAGES), "first")
    _carry_until(cast, "chunk", scene)
    return _held(cast, scene, "first")


def two_parts_to_embed(cast: Cast) -> Scene:
    """Two workers hold the last two parts of the document's last stage."""
    scene = uncut(cast)
    _carry(cast, scene)
    return _held(cast, scene, "first", "second")


def _uploaded(cast: Cast, name: str, content: bytes) -> Scene:
    return _accepted(cast, NewDocument(name), content)


def _accepted(cast: Cast, document: NewDocument, content: bytes) -> Scene:
    cast.add_webhook()
    owner = cast.owners["owner"]
    return Scene(owner.session.call(lambda: owner.upload(document, content)))


def _held(cast: Cast, scene: Scene, *names: str) -> Scene:
    """Have each of these workers claim a job."""
    for name in names:
        worker = cast.workers[name]
        (scene.held[name],) = worker.session.call(worker.claim)
    return scene


def _carry(cast: Cast, scene: Scene) -> None:
    """Have the first worker carry its job to the end."""
    worker = cast.workers["first"]
    worker.session.call(lambda: worker.carry(scene.held["first"]))


def _carry_until(cast: Cast, stage: str, scene: Scene) -> None:
    """Have the first worker carry its job as far as this stage, and give that back."""

    def stop(*_: object) -> NoReturn:
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(attempt.STAGES, stage, attempt.Stage(stop, stop))
        _carry(cast, scene)
