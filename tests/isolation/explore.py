"""Every order in which sessions can take their turns, one after the other.

Depth first: a run follows the turns it is told and then goes on by itself, writing down at each
turn who else could have had it. The next run differs from it at the last place where somebody is
left. Who can have a turn is what PostgreSQL makes of their locks, so no order is tried that can not
be, and each one that can be is: each one, that is, in which no more than so many sessions are
broken off that could have gone on. Most of what can go wrong shows with two (Musuvathi and Qadeer,
"Iterative Context Bounding", PLDI 2007); without a bound three sessions have thousands of orders.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from docmill.database import Sync
from isolation.turns import Session

LOOK_AGAIN_SECONDS = 0.001

Cast = Mapping[Session, Callable[[], object]]


@dataclass(slots=True)
class Turn:
    """Who had it, for what, and who else could have had it and has not yet.

    `broken_off` is who had the turn before and could have gone on.
    """

    who: str
    others: list[str]
    label: str = ""
    broken_off: str | None = None

    @property
    def is_break(self) -> bool:
        """Whether somebody was broken off for it."""
        return self.broken_off not in {None, self.who}


@dataclass(slots=True)
class Schedule:
    """One order of turns, and whether it came to a standstill."""

    turns: list[Turn] = field(default_factory=list)
    deadlocked: bool = False

    def __str__(self) -> str:
        return " | ".join(f"{turn.who}: {turn.label}" for turn in self.turns)

    def successor(self) -> list[Turn] | None:
        """The turns that the next run is told; None after the last one."""
        turns = list(self.turns)
        while turns:
            last = turns.pop()
            if last.others:
                first, *others = last.others
                return [*turns, Turn(first, others, broken_off=last.broken_off)]
        return None


def schedules(
    admin: Sync, cast: Cast, restore: Callable[[], object], breaks: int
) -> Iterator[Schedule]:
    """Run every order with at most so many breaks; yields after each, when all have ended."""
    told: list[Turn] | None = []
    while told is not None:
        restore()
        for session, operation in cast.items():
            session.begin(operation)
        try:
            schedule = _run(admin, list(cast), told, breaks)
        except BaseException:
            for session in cast:
                session.free()
            raise
        yield schedule
        told = schedule.successor()


def _run(admin: Sync, cast: Sequence[Session], told: Sequence[Turn], breaks: int) -> Schedule:
    schedule = Schedule()
    by_name = {session.name: session for session in cast}
    going: list[Session] = []
    while True:
        going = _settle(admin, cast, going)
        ready = [s.name for s in cast if not s.ended and s not in going]
        if not ready and not going:
            return schedule
        if not ready:
            schedule.deadlocked = True
            _until_one_rests(going)  # the server ends one of them
            continue
        turn = _next_turn(told, schedule.turns, ready, breaks)
        session = by_name[turn.who]
        turn.label = session.label
        schedule.turns.append(turn)
        session.go()
        going.append(session)


def _next_turn(told: Sequence[Turn], so_far: Sequence[Turn], ready: list[str], breaks: int) -> Turn:
    """As told; after that whoever went last goes on, and the others are left for later runs."""
    if len(so_far) < len(told):
        turn = told[len(so_far)]
        assert turn.who in ready, f"the same turns led somewhere else: {Schedule([*so_far, turn])}"
        return turn
    last = so_far[-1].who if so_far else None
    goes_on = last if last in ready else None
    first = goes_on or ready[0]
    others = [name for name in ready if name != first]
    if goes_on and sum(turn.is_break for turn in so_far) >= breaks:
        others = []
    return Turn(first, others, broken_off=goes_on)


def _settle(admin: Sync, cast: Sequence[Session], going: list[Session]) -> list[Session]:
    """Wait until nobody goes any more; returns who waits for a lock of another.

    Who waits for a stranger (autovacuum, say) does not wait for long, and is not counted.
    """
    everybody = [session.backend for session in cast]
    while moving := [session for session in going if not session.rests()]:
        if moving[-1].rests(LOOK_AGAIN_SECONDS):
            continue
        backends = [session.backend for session in moving]
        rows = admin.execute(
            "select pid from unnest(%s::int[]) pid where pg_blocking_pids(pid) && %s::int[]",
            [backends, everybody],
        ).fetchall()
        if {row["pid"] for row in rows} == set(backends):
            return moving
    return []


def _until_one_rests(waiting: Sequence[Session]) -> None:
    while not any(session.rests(LOOK_AGAIN_SECONDS) for session in waiting):
        pass
