"""Run the same function on a few threads, and wait for all of them, also after an interrupt."""

import threading
import time
from collections.abc import Callable

POLL_INTERVAL = 0.2  # seconds between two checks for an interrupt
GRACE = 2.0  # seconds that threads have to clean up after an interrupt: one may hang on a dead connection


def run_on_threads(
    work: Callable[[], None], count: int, stop: Callable[[], None], tick: Callable[[], object] = lambda: None
) -> None:
    """Run `work`, which must not raise, on `count` threads and return when all have ended.

    `tick` is called about every POLL_INTERVAL. After what it raises, or an interrupt, `stop` is called, which has to
    make `work` return, and the exception is raised after the threads have ended, or after GRACE.
    """
    # Not Thread.join: an interrupt during it marks the thread as ended while it runs (CPython 3.11, gh-90882).
    ends: list[threading.Event] = []
    try:
        for _ in range(count):
            ends.append(threading.Event())
            # Daemon threads, so that one that hangs does not keep the process alive.
            threading.Thread(target=_run, args=(work, ends[-1]), daemon=True).start()
        for ended in ends:
            # With a timeout: if another thread receives the signal, it does not wake this one.
            while not ended.wait(POLL_INTERVAL):
                tick()
    except BaseException:
        stop()
        wait_for(ends)
        raise


def run_briefly(work: Callable[[], None]) -> None:
    """Run `work`, which must not raise, on a thread, and wait for its end for at most GRACE."""
    ended = threading.Event()
    threading.Thread(target=_run, args=(work, ended), daemon=True).start()
    wait_for([ended])


def wait_for(ends: list[threading.Event]) -> None:
    """Wait until all events are set, for at most GRACE."""
    deadline = time.monotonic() + GRACE
    for ended in ends:
        ended.wait(max(0.0, deadline - time.monotonic()))


def _run(work: Callable[[], None], ended: threading.Event) -> None:
    try:
        work()
    finally:
        ended.set()
