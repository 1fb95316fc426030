"""Half of the files in each of two processes that are warm before they begin."""

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # for bare_loop

PROCESSES = 2

Act = Callable[[Sequence[Path]], int]


def options() -> Any:
    """What the bench wants."""
    return json.loads(sys.argv[1])


def run(make: Callable[[], Act]) -> None:
    """Print in what time the acts that `make` makes, one per process, did all files."""
    wanted = options()
    paths = [Path(name) for name in wanted["files"]] * wanted["repeat"]
    context = multiprocessing.get_context("spawn")
    ready, go, kept = context.Semaphore(0), context.Event(), context.Queue()
    children = [
        context.Process(target=work, args=(make, paths[number::PROCESSES], ready, go, kept))
        for number in range(PROCESSES)
    ]
    for child in children:
        child.start()
    for _ in children:
        ready.acquire()
    begun = time.perf_counter()
    go.set()
    passages = sum(kept.get() for _ in children)
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "passages": passages}))


def work(make: Callable[[], Act], paths: Sequence[Path], ready: Any, go: Any, kept: Any) -> None:
    """One of the processes."""
    act = make()
    ready.release()
    go.wait()
    kept.put(act(paths))
