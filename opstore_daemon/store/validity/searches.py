"""The limits of searches through many versions: steps, time, how many run at once, and the client that waits.

A search of few steps just runs. A longer one takes a place at its first checkpoint (store.places). If it is refused,
its client retries.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opstore_daemon.protocol import errors
from opstore_daemon.rules import budget
from opstore_daemon.rules.budget import Budget, LimitReached
from opstore_daemon.store.places import IsCancelled, Places, check_client

RUNNING = 2  # long searches that run at once
WAITING = 2  # long searches that wait for one of these

TooHard = Callable[[str, list[str]], errors.OpStoreError]  # of the limit, and the ops that conflict most


class Searches(Places):
    """The long searches of one store."""

    def __init__(self) -> None:
        super().__init__(RUNNING, WAITING, errors.TooManySearches)

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
        check_client(self._is_cancelled)
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise LimitReached(f"{self._timeout:g} s")

    def end(self) -> None:
        """Give the place back, if the search has one."""
        if self._has_place:
            self._searches.leave()
