"""Half of the files in each of two processes, each of which has done some others before."""

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Event, Semaphore
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))  # for bare_loop

PROCESSES = 2

Act = Callable[[Sequence[Path]], int]


class Gates(NamedTuple):
    """What the processes share: how many are ready, whether to begin, and what came out."""

    ready: Semaphore
    go: Event
    kept: "multiprocessing.Queue"


def options() -> Any:
    """What the bench wants."""
    return json.loads(sys.argv[1])


def run(make: Callable[[], Act]) -> None:
    """Print in what time the acts that `make` makes, one per process, did all files."""
    wanted = options()
    paths = [Path(name) for name in wanted["files"]] * wanted["repeat"]
    warm = [Path(name) for name in wanted["warm"]]
    context = multiprocessing.get_context("spawn")
    gates = Gates(context.Semaphore(0), context.Event(), context.Queue())
    children = [
        context.Process(target=work, args=(make, warm, paths[number::PROCESSES], gates))
        for number in range(PROCESSES)
    ]
    for child in children:
        child.start()
    for _ in children:
        gates.ready.acquire()
    begun = time.perf_counter()
    gates.go.set()
    passages = sum(gates.kept.get() for _ in children)
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "passages": passages}))


def work(
    make: Callable[[], Act],
    warm: Sequence[Path],
    paths: Sequence[Path],
    gates: Gates,
) -> None:
    """One of the processes."""
    act = make()
    act(warm)
    gates.ready.release()
    gates.go.wait()
    gates.kept.put(act(paths))
