"""What a parser's process gives up for good before it opens a stranger's file.

A parser that a file has taken over could do what its process may do. So the process gives up what
reading a file that is already open does not need: files by path (but those of Python's own library,
which loads parts of itself late), sockets, programs, processes, signals to others, and root. Linux
grants all of it without privileges. What a system does not have is skipped; `docmill doctor` tells.

Everything here counts for the calling thread and those it starts, so it runs before the first.
"""

import ctypes
import json
import os
import platform
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
PR_SET_SECCOMP = 22

# linux/landlock.h; the three calls have the same number on every architecture.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3
# How many rights over files a version knows; each brings those of the one before.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
NEWEST_FILE_RIGHTS = 16
BIND_AND_CONNECT_TCP, SINCE_TCP = 3, 4
ABSTRACT_SOCKETS_AND_SIGNALS, SINCE_SCOPES = 3, 6

# linux/audit.h, linux/sched.h, linux/filter.h, linux/seccomp.h
CLONE_THREAD = 0x00010000
X32_CALLS = 0x40000000  # from here on, x86_64 takes the same calls under other numbers
LOAD, RETURN = 0x20, 0x06
JUMP_IF_EQUAL, JUMP_IF_NOT_LESS, JUMP_IF_SET = 0x15, 0x35, 0x45
CALL_NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16
SECCOMP_MODE_FILTER = 2
RETURNS = {"allow": 0x7FFF0000, "refuse": 0x00050001, "unknown": 0x00050026}  # EPERM, ENOSYS

CAPABILITY_VERSION = 0x20080522  # linux/capability.h
NOBODY = 65534


class Architecture(NamedTuple):
    """A processor's number in linux/audit.h, and numbers of its system calls.

    `refused`: sockets, programs, processes; modes of files, which Landlock leaves to their owner;
    and `io_uring`, which could do any of it unseen.
    """

    number: int
    refused: dict[str, int]
    clone: int
    clone3: int


class Step(NamedTuple):
    """One step of a filter; a jump without a target goes to the next step."""

    operation: int
    value: int
    then: str = ""
    otherwise: str = ""


STEP = struct.Struct("=HBBI")
ARCHITECTURES = {
    "x86_64": Architecture(
        0xC000003E,
        {
            "socket": 41,
            "fork": 57,
            "vfork": 58,
            "execve": 59,
            "chmod": 90,
            "fchmod": 91,
            "fchmodat": 268,
            "execveat": 322,
            "io_uring_setup": 425,
            "fchmodat2": 452,
        },
        clone=56,
        clone3=435,
    ),
    "aarch64": Architecture(
        0xC00000B7,
        {
            "fchmod": 52,
            "fchmodat": 53,
            "socket": 198,
            "execve": 221,
            "execveat": 281,
            "io_uring_setup": 425,
            "fchmodat2": 452,
        },
        clone=220,
        clone3=435,
    ),
}


def confine() -> dict[str, str]:
    """Give up everything; returns what by which means, an empty text where there was none."""
    if sys.platform != "linux":
        return dict.fromkeys(("files", "network", "root"), "")
    libc = ctypes.CDLL(None, use_errno=True)
    library = [folder for folder in sys.path if Path(folder).is_dir()]
    root = give_up_root(libc, library)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = give_up_files(libc, library)
    calls = give_up_calls(libc)
    return {
        "files": f"Landlock {version}" if version else "",
        "network": "seccomp" if calls else "",
        "root": root,
    }


# root ------------------------------------------------------------------------------------


def give_up_root(libc: ctypes.CDLL, library: list[str]) -> str:
    """Become nobody; where nobody can't read the library, stay root without a root's rights."""
    if os.geteuid() != 0:
        return "not root"
    with suppress(OSError):  # a container may have no other user
        os.setgroups([])
        if nobody_reads(library):
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            return "nobody"
    header, none = struct.pack("<Ii", CAPABILITY_VERSION, 0), bytes(24)
    return "no capabilities" if libc.capset(header, none) == 0 else ""


def nobody_reads(library: list[str]) -> bool:
    """Whether a user without rights reaches all these folders."""
    with as_nobody():
        return all(os.access(folder, os.R_OK | os.X_OK, effective_ids=True) for folder in library)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Nobody for the length of a block."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


# files -----------------------------------------------------------------------------------


def give_up_files(libc: ctypes.CDLL, library: list[str]) -> int:
    """Leave only the library, for reading; returns Landlock's version, 0 where there is none."""
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return 0
    rights = (1 << FILE_RIGHTS.get(version, NEWEST_FILE_RIGHTS)) - 1
    tcp = BIND_AND_CONNECT_TCP if version >= SINCE_TCP else 0
    scoped = ABSTRACT_SOCKETS_AND_SIGNALS if version >= SINCE_SCOPES else 0
    attributes = struct.pack("=QQQ", rights, tcp, scoped)
    rules = libc.syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return 0
    for folder in library:
        place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", READ_FILE | READ_DIR, place)
        libc.syscall(LANDLOCK_ADD_RULE, rules, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        os.close(place)
    locked = libc.syscall(LANDLOCK_RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return version if locked else 0


# system calls ----------------------------------------------------------------------------


def give_up_calls(libc: ctypes.CDLL) -> bool:
    """Have the kernel refuse what `Architecture` lists; whether it does."""
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        return False
    steps = assembled(call_filter(architecture))
    held = ctypes.create_string_buffer(steps, len(steps))
    described = struct.pack("@HP", len(steps) // STEP.size, ctypes.addressof(held))
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0) == 0)


def call_filter(architecture: Architecture) -> list[Step]:
    """What the kernel runs before each call.

    `clone` passes for threads. What `clone3` would make stands where a filter can't look; told that
    there is no such call, the C library takes `clone`.
    """
    return [
        Step(LOAD, ARCHITECTURE_AT),
        Step(JUMP_IF_EQUAL, architecture.number, otherwise="refuse"),
        Step(LOAD, CALL_NUMBER_AT),
        Step(JUMP_IF_NOT_LESS, X32_CALLS, then="refuse"),
        *(Step(JUMP_IF_EQUAL, call, then="refuse") for call in architecture.refused.values()),
        Step(JUMP_IF_EQUAL, architecture.clone3, then="unknown"),
        Step(JUMP_IF_EQUAL, architecture.clone, otherwise="allow"),
        Step(LOAD, FIRST_ARGUMENT_AT),
        Step(JUMP_IF_SET, CLONE_THREAD, then="allow", otherwise="refuse"),
    ]


def assembled(steps: list[Step]) -> bytes:
    """The steps and, behind them, the returns that they jump to."""
    places = {name: len(steps) + at for at, name in enumerate(RETURNS)}

    def distance(at: int, target: str) -> int:
        return places[target] - at - 1 if target else 0

    jumps = [
        STEP.pack(step.operation, distance(at, step.then), distance(at, step.otherwise), step.value)
        for at, step in enumerate(steps)
    ]
    return b"".join([*jumps, *(STEP.pack(RETURN, 0, 0, value) for value in RETURNS.values())])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(confine()))
