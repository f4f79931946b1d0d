"""The limits of searches through many versions: steps, time, how many run at once, and the client that waits.

A search of few steps just runs. A longer one takes a place at its first checkpoint: few places run, so that worker
threads and the processor stay free for other requests; few more wait; a further one is refused, and its client
retries.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opstore_daemon.protocol import errors
from opstore_daemon.rules import budget
from opstore_daemon.rules.budget import Budget, LimitReached

RUNNING = 2  # long searches that run at once
WAITING = 2  # long searches that wait for one of these
POLL = 0.25  # seconds between looks at the client while a search waits

IsCancelled = Callable[[], bool]
TooHard = Callable[[str, list[str]], errors.OpStoreError]  # of the limit, and the ops that conflict most


def never() -> bool:
    """Return False: nobody can cancel this search."""
    return False


class Searches:
    """The long searches of one store: how many are `running`, and how many are `waiting` to run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.running = self.waiting = 0

    @contextmanager
    def budget(self, is_cancelled: IsCancelled, too_hard: TooHard, timeout: float | None = None) -> Iterator[Budget]:
        """Yield the budget of one search.

        `is_cancelled` says whether the client has gone; `timeout`: seconds, an additional limit. Raises what `too_hard`
        returns if a limit is reached, TooManySearches, and ConnectionLost if the search was cancelled.
        """
        search = _Search(self, timeout, is_cancelled)
        steps = Budget(budget.STEPS, search.checkpoint)
        try:
            yield steps
        except LimitReached as limit:
            raise too_hard(str(limit), steps.most_conflicting()) from None
        finally:
            search.end()

    def enter(self, check: Callable[[], None]) -> None:
        """Take a place, or wait for one; raise TooManySearches if too many wait, and what `check` raises."""
        with self._changed:
            if self.running >= RUNNING:
                self._wait(check)
            self.running += 1

    def _wait(self, check: Callable[[], None]) -> None:
        if self.waiting >= WAITING:
            raise errors.TooManySearches(running=self.running)
        self.waiting += 1
        try:
            while self.running >= RUNNING:
                check()
                self._changed.wait(POLL)
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """Give the place to a search that waits."""
        with self._changed:
            self.running -= 1
            self._changed.notify()


class _Search:
    """One search; its checkpoint is called every few thousand steps."""

    def __init__(self, searches: Searches, timeout: float | None, is_cancelled: IsCancelled) -> None:
        self._searches, self._is_cancelled, self._timeout = searches, is_cancelled, timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._has_place = False

    def checkpoint(self) -> None:
        """End the search if its client has gone or its time is over; else have it take a place, or wait for one."""
        self._check()
        if not self._has_place:
            self._searches.enter(self._check)
            self._has_place = True

    def _check(self) -> None:
        if self._is_cancelled():
            raise errors.ConnectionLost(url="the client", reason="it has gone")
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise LimitReached(f"{self._timeout:g} s")

    def end(self) -> None:
        """Give the place back, if the search has one."""
        if self._has_place:
            self._searches.leave()
