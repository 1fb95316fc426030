"""A signal is heard in whatever the main thread is doing, also with a lock in its hand."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import pytest

from docmill import worker_command

if TYPE_CHECKING:
    from docmill.worker import Worker


class Busy:
    """Stops as a worker does: by a lock that its main thread holds every now and then."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.stopped_by: threading.Thread | None = None

    def stop(self) -> None:
        self.stopped_by = threading.current_thread()
        assert self.stopped_by is not threading.main_thread(), "here it would wait for itself"
        with self.lock:
            self.stopped.set()


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_worker_told_to_stop_with_its_own_lock_in_hand_stops() -> None:
    busy = Busy()
    worker_command.stop_on_signals(cast("Worker", busy))
    with busy.lock:
        os.kill(os.getpid(), signal.SIGTERM)
        assert not busy.stopped.is_set()
    assert busy.stopped.wait(60)


def test_second_signal_ends_the_process_at_once() -> None:
    worker_command.stop_on_signals(cast("Worker", Busy()))
    os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_end_of_a_pipe_stops_as_well() -> None:
    busy = Busy()
    reading, writing = os.pipe()
    worker_command.stop_when_read(reading, cast("Worker", busy))
    os.close(writing)
    assert busy.stopped.wait(60)
