"""Who meets whom, and everything that may come of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from docmill.accepting import COLLISIONS
from isolation import scenes
from isolation.cast import Cast
from isolation.promises import GONE
from isolation.scenes import Scene

DEEDS: dict[str, Callable[[Any, Scene], object]] = {
    "claims": lambda part, _: part.claim(),
    "carries on": lambda part, scene: part.carry(scene.held[part.session.name]),
    "beats": lambda part, scene: part.beat(scene.held[part.session.name]),
    "gives back": lambda part, scene: part.release(scene.held[part.session.name]),
    "fails": lambda part, scene: part.fail(scene.held[part.session.name], "PARSER_DIED"),
    "fails for good": lambda part, scene: part.fail(
        scene.held[part.session.name], "FILE_UNREADABLE"
    ),
    "misses the service": lambda part, scene: part.fail(
        scene.held[part.session.name], "EMBEDDER_UNAVAILABLE"
    ),
    "reaps": lambda part, _: part.reap(),
    "reaps and claims": lambda part, _: (part.reap(), part.claim()),
    "sweeps": lambda part, _: part.sweep(),
    "fails what first lost": lambda part, scene: part.fail_lost(scene.held["first"]),
    "cancels": lambda part, scene: part.cancel(scene.document_id),
    "retries": lambda part, scene: part.retry(scene.document_id),
    "reprocesses": lambda part, scene: part.reprocess(scene.document_id),
    "deletes": lambda part, scene: part.delete(scene.document_id),
    "deletes the webhook": lambda part, _: part.delete_webhook(),
    "enables the webhook": lambda part, _: part.enable_webhook(),
    "uploads it again": lambda part, _: part.upload(scenes.HELLO_TXT, scenes.HELLO),
    "uploads it anew": lambda part, _: part.upload(
        replace(scenes.HELLO_TXT, on_duplicate="replace"), scenes.HELLO
    ),
}


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where it begins, who does what, and everything that may come of it.

    `retried` are errors that docmill itself answers by trying again.
    """

    given: Callable[[Cast], Scene]
    who: tuple[str, ...]
    ends: set[str]
    retried: tuple[type[psycopg.Error], ...] = ()

    def __str__(self) -> str:
        return f"{self.given.__name__}: {', '.join(self.who)}"


CANCELLED = "cancelled, embed cancelled (cancelled)"
LEFT_OF_TWO = "embed g2 cancelled (cancelled)"
QUEUED_AGAIN = "processing, embed queued (lease_expired)"

MEETINGS = [
    # who takes a job
    Meeting(
        scenes.waiting,
        ("first claims", "second claims"),
        {"processing, parse running (open)"},
    ),
    Meeting(
        scenes.two_waiting,
        ("first claims", "second claims"),
        {"processing, processing, parse running (open), parse running (open)"},
    ),
    Meeting(
        scenes.waiting,
        ("first claims", "owner cancels"),
        {"cancelled, parse cancelled", "cancelled, parse cancelled (cancelled)"},
    ),
    Meeting(scenes.waiting, ("first claims", "owner deletes"), {GONE}),
    # a worker in the middle, and somebody who ends the document
    Meeting(
        scenes.begun,
        ("first carries on", "owner cancels"),
        {
            "completed",
            "cancelled, parse cancelled (cancelled)",
            "cancelled, chunk cancelled (cancelled)",
            CANCELLED,
        },
    ),
    Meeting(scenes.begun, ("first carries on", "owner deletes"), {GONE}),
    Meeting(
        scenes.unsplit,
        ("first carries on", "owner cancels"),
        {
            "cancelled, parse1 cancelled, parse2 cancelled",
            "cancelled, parse cancelled (cancelled), parse1 cancelled, parse2 cancelled",
            "cancelled, parse cancelled (cancelled)",
        },
    ),
    Meeting(scenes.unsplit, ("first carries on", "owner deletes"), {GONE}),
    Meeting(
        scenes.uncut,
        ("first carries on", "second claims", "owner cancels"),
        {
            "cancelled, chunk cancelled (cancelled)",
            "cancelled, embed cancelled, embed1 cancelled",
            "cancelled, embed cancelled (cancelled), embed1 cancelled",
        },
    ),
    Meeting(scenes.held, ("first beats", "owner cancels"), {CANCELLED}),
    Meeting(scenes.held, ("first beats", "owner deletes"), {GONE}),
    Meeting(
        scenes.held,
        ("first gives back", "owner cancels"),
        {CANCELLED, "cancelled, embed cancelled (released)"},
    ),
    Meeting(
        scenes.held,
        ("first fails", "owner cancels"),
        {CANCELLED, "cancelled, embed cancelled (failed)"},
    ),
    Meeting(
        scenes.held,
        ("first fails for good", "owner cancels"),
        {CANCELLED, "failed, embed failed (failed)"},
    ),
    Meeting(scenes.held, ("first fails for good", "owner deletes"), {GONE}),
    Meeting(
        scenes.held,
        ("first misses the service", "owner cancels"),
        {CANCELLED, "cancelled, embed cancelled (failed)"},
    ),
    # a late worker, and who takes its job away
    Meeting(
        scenes.overdue,
        ("first carries on", "second reaps"),
        {"completed", QUEUED_AGAIN},
    ),
    Meeting(
        scenes.overdue,
        ("first carries on", "second reaps and claims"),
        {"completed", "processing, embed running (open)"},
    ),
    Meeting(
        scenes.overdue,
        ("first beats", "second reaps"),
        {"processing, embed running (open)", QUEUED_AGAIN},
    ),
    Meeting(
        scenes.overdue,
        ("first gives back", "second reaps"),
        {"processing, embed queued (released)", QUEUED_AGAIN},
    ),
    Meeting(
        scenes.overdue,
        ("first fails", "second reaps"),
        {"processing, embed queued (failed)", QUEUED_AGAIN},
    ),
    Meeting(
        scenes.overdue,
        ("first fails for good", "second reaps"),
        {"failed, embed failed (failed)", QUEUED_AGAIN},
    ),
    Meeting(
        scenes.overdue,
        ("first misses the service", "second reaps"),
        {"processing, embed queued (failed)", QUEUED_AGAIN},
    ),
    Meeting(scenes.overdue, ("second reaps", "third reaps"), {QUEUED_AGAIN}),
    Meeting(
        scenes.overdue,
        ("second reaps", "owner cancels"),
        {CANCELLED, "cancelled, embed cancelled (lease_expired)"},
    ),
    Meeting(scenes.overdue, ("second reaps", "owner deletes"), {GONE}),
    Meeting(
        scenes.overdue_at_last,
        ("first carries on", "second reaps"),
        {"completed", "failed, embed failed (lease_expired)"},
    ),
    Meeting(
        scenes.overdue_at_last,
        ("first beats", "second reaps"),
        {"processing, embed running (open)", "failed, embed failed (lease_expired)"},
    ),
    Meeting(
        scenes.overdue_at_last,
        ("first gives back", "second reaps"),
        {"processing, embed queued (released)", "failed, embed failed (lease_expired)"},
    ),
    Meeting(
        scenes.overdue_at_last,
        ("second reaps", "third fails what first lost"),
        {"failed, embed failed (lease_expired)"},
    ),
    Meeting(
        scenes.overdue_at_last,
        ("second reaps", "owner cancels"),
        {CANCELLED, "failed, embed failed (lease_expired)"},
    ),
    Meeting(scenes.overdue_at_last, ("second reaps", "owner deletes"), {GONE}),
    Meeting(
        scenes.session_lost,
        ("first beats", "second reaps"),
        {"processing, embed running (open)", QUEUED_AGAIN},
    ),
    Meeting(
        scenes.session_lost,
        ("first carries on", "second reaps"),
        {"completed", QUEUED_AGAIN},
    ),
    Meeting(scenes.session_lost, ("second reaps", "third reaps"), {QUEUED_AGAIN}),
    # the last two parts of a stage
    Meeting(
        scenes.two_parts_to_read,
        ("first carries on", "second carries on"),
        {"completed"},
    ),
    Meeting(
        scenes.two_parts_to_read,
        ("first fails for good", "second carries on"),
        {
            "failed, parse1 failed (failed)",
            "failed, parse1 failed (failed), parse2 cancelled (cancelled)",
        },
    ),
    Meeting(
        scenes.two_parts_to_embed,
        ("first carries on", "second carries on"),
        {"completed"},
    ),
    Meeting(
        scenes.two_parts_to_embed,
        ("first fails for good", "second carries on"),
        {
            "failed, embed failed (failed)",
            "failed, embed failed (failed), embed1 cancelled (cancelled)",
        },
    ),
    Meeting(
        scenes.two_parts_to_embed,
        ("first fails for good", "second fails for good"),
        {
            "failed, embed failed (failed), embed1 cancelled (cancelled)",
            "failed, embed cancelled (cancelled), embed1 failed (failed)",
        },
    ),
    Meeting(
        scenes.two_parts_to_embed,
        ("first carries on", "second carries on", "owner cancels"),
        {
            "completed",
            CANCELLED,
            "cancelled, embed1 cancelled (cancelled)",
            "cancelled, embed cancelled (cancelled), embed1 cancelled (cancelled)",
        },
    ),
    # a late worker, and somebody who starts the document again
    Meeting(
        scenes.cancelled,
        ("first carries on", "owner retries"),
        {"queued, embed queued (cancelled)"},
    ),
    Meeting(
        scenes.cancelled,
        ("first carries on", "owner retries", "second claims"),
        {"queued, embed queued (cancelled)", "processing, embed running (open)"},
    ),
    Meeting(
        scenes.cancelled,
        ("first carries on", "owner reprocesses"),
        {"queued g2, embed cancelled (cancelled), parse g2 queued"},
    ),
    Meeting(
        scenes.cancelled,
        ("first carries on", "owner reprocesses", "second claims"),
        {
            "queued g2, embed cancelled (cancelled), parse g2 queued",
            "processing g2, embed cancelled (cancelled), parse g2 running (open)",
        },
    ),
    # two who ask for something at the same moment
    Meeting(
        scenes.cancelled,
        ("owner retries", "another retries"),
        {"queued, embed queued (cancelled)"},
    ),
    Meeting(
        scenes.cancelled,
        ("owner retries", "another reprocesses"),
        {
            "queued, embed queued (cancelled)",
            "queued g2, embed cancelled (cancelled), parse g2 queued",
        },
    ),
    Meeting(
        scenes.cancelled,
        ("owner retries", "another cancels"),
        {CANCELLED, "queued, embed queued (cancelled)"},
    ),
    Meeting(scenes.cancelled, ("owner retries", "another deletes"), {GONE}),
    Meeting(
        scenes.completed,
        ("owner reprocesses", "another reprocesses"),
        {"queued g2 serving 1, parse g2 queued"},
    ),
    Meeting(
        scenes.completed,
        ("owner reprocesses", "another cancels"),
        {"cancelled g2 serving 1, parse g2 cancelled", "queued g2 serving 1, parse g2 queued"},
    ),
    Meeting(scenes.completed, ("owner reprocesses", "another deletes"), {GONE}),
    Meeting(scenes.completed, ("owner deletes", "another deletes"), {GONE}),
    Meeting(scenes.held, ("owner cancels", "another cancels"), {CANCELLED}),
    Meeting(scenes.held, ("owner cancels", "another deletes"), {GONE}),
    # what is left of long ago, and somebody who does something with the document
    Meeting(scenes.left_over, ("second sweeps", "owner deletes"), {GONE}),
    Meeting(
        scenes.left_over,
        ("second sweeps", "owner reprocesses"),
        {
            "queued g4 serving 1, embed g3 cancelled (cancelled), parse g4 queued",
            f"queued g4 serving 1, {LEFT_OF_TWO}, embed g3 cancelled (cancelled), parse g4 queued",
            "queued g4 serving 1, parse g4 queued",
        },
    ),
    Meeting(
        scenes.left_over,
        ("second sweeps", "owner retries"),
        {
            "queued g3 serving 1, embed g3 queued (cancelled)",
            f"queued g3 serving 1, {LEFT_OF_TWO}, embed g3 queued (cancelled)",
        },
    ),
    Meeting(
        scenes.left_over,
        ("second sweeps", "third sweeps"),
        {"cancelled g3 serving 1, embed g3 cancelled (cancelled)"},
    ),
    Meeting(
        scenes.made_anew,
        ("first carries on", "second sweeps"),
        {"completed g3"},
    ),
    # the same bytes, sent again
    Meeting(
        scenes.nothing,
        ("owner uploads it again", "another uploads it again"),
        {"queued, parse queued"},
        retried=COLLISIONS,
    ),
    Meeting(
        scenes.waiting,
        ("owner uploads it again", "another deletes"),
        {GONE, "queued, parse queued"},
        retried=COLLISIONS,
    ),
    Meeting(
        scenes.cancelled,
        ("owner uploads it again", "another deletes"),
        {GONE, "queued, parse queued"},
        retried=COLLISIONS,
    ),
    Meeting(
        scenes.held,
        ("owner uploads it anew", "another deletes"),
        {GONE, "queued, parse queued"},
        retried=COLLISIONS,
    ),
    Meeting(
        scenes.held,
        ("owner uploads it anew", "another cancels"),
        {
            "cancelled g2, embed cancelled (cancelled), parse g2 cancelled",
            "queued g2, embed cancelled (cancelled), parse g2 queued",
        },
    ),
    Meeting(
        scenes.held,
        ("first carries on", "owner uploads it anew"),
        {
            "queued g2 serving 1, parse g2 queued",
            "queued g2, embed cancelled (cancelled), parse g2 queued",
        },
    ),
    Meeting(
        scenes.completed,
        ("owner uploads it anew", "another reprocesses"),
        {
            "queued g2 serving 1, parse g2 queued",
            "queued g3 serving 1, parse g2 cancelled, parse g3 queued",
        },
    ),
    Meeting(
        scenes.replaced,
        ("first carries on", "owner uploads it again"),
        {"completed g2, queued, parse queued"},
        retried=COLLISIONS,
    ),
    Meeting(
        scenes.cancelled,
        ("owner uploads it again", "another retries"),
        {"queued, embed queued (cancelled)"},
    ),
    Meeting(scenes.held, ("first carries on", "owner deletes the webhook"), {"completed"}),
    Meeting(scenes.held, ("owner cancels", "another deletes the webhook"), {CANCELLED}),
    Meeting(scenes.completed, ("owner deletes", "another deletes the webhook"), {GONE}),
    Meeting(scenes.completed, ("owner deletes", "another enables the webhook"), {GONE}),
]
