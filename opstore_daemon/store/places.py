"""Places for long work: of each kind a few requests run at once, a few more wait, and a further one is refused.

A request that works or waits for long holds a worker thread of the HTTP server. All places together are fewer than its
threads, so that other requests always find one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opstore_daemon.protocol import errors

POLL = 0.25  # seconds between two looks of a request that waits at what could end that

IsCancelled = Callable[[], bool]


def never() -> bool:
    """Return False: nobody can cancel this work."""
    return False


class Places:
    """The places of one kind of work: how many requests are `running`, and how many are `waiting` to run."""

    def __init__(self, most_running: int, most_waiting: int, refusal: type[errors.OpStoreError]) -> None:
        """`refusal` is the error for one more request; its detail is how many are `running`."""
        self._most_running, self._most_waiting, self._refusal = most_running, most_waiting, refusal
        self._changed = threading.Condition()
        self.running = self.waiting = 0

    @property
    def total(self) -> int:
        """How many threads this work can hold."""
        return self._most_running + self._most_waiting

    @contextmanager
    def held(self, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold a place in the context; raise what `enter` raises."""
        self.enter(check)
        try:
            yield
        finally:
            self.leave()

    def enter(self, check: Callable[[], None]) -> None:
        """Take a place, or wait for one; raise the refusal if too many wait, and what `check` raises meanwhile."""
        with self._changed:
            if self.running >= self._most_running:
                self._wait(check)
            self.running += 1

    def _wait(self, check: Callable[[], None]) -> None:
        if self.waiting >= self._most_waiting:
            raise self._refusal(running=self.running)
        self.waiting += 1
        try:
            while self.running >= self._most_running:
                check()
                self._changed.wait(POLL)
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """Give the place to a request that waits."""
        with self._changed:
            self.running -= 1
            self._changed.notify()


def check_client(is_cancelled: IsCancelled) -> None:
    """Raise ConnectionLost once `is_cancelled` returns True: the client has gone."""
    if is_cancelled():
        raise errors.ConnectionLost(url="the client", reason="it has gone")
