"""Run several transfers in parallel, and report the progress of all to one display."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from opstore_cli.transfer.interruption import InterruptedTransfer
from opstore_cli.transfer.progress import Display
from opstore_cli.transfer.threads import run_on_threads
from opstore_daemon.protocol import errors

T = TypeVar("T")

MAX_PARALLEL = 4  # transfers
# After these errors the other transfers would fail in the same way, each after its own timeout.
FATAL = (errors.Unreachable, errors.NotAuthorised, errors.Unavailable)


class ParallelTransfers(Generic[T]):
    """Runs jobs on a few threads; each job reports its progress to `moved`."""

    def __init__(self, jobs: Sequence[Callable[[], T]], display: Display) -> None:
        self._jobs = list(enumerate(jobs))
        self._results: list[T | errors.OpStoreError | None] = [None] * len(self._jobs)
        self._display = display
        self._lock = threading.Lock()
        self._current = threading.local()
        self._interrupted = threading.Event()
        self._bug: BaseException | None = None
        self._has_moved = False  # bytes: the same command need not transfer all of them again

    def run(self) -> list[T | errors.OpStoreError | None]:
        """Return each job's result or error; None for a job that was not started after a fatal error of another."""
        try:
            run_on_threads(self._work, min(MAX_PARALLEL, len(self._jobs)), self._interrupt)
        except KeyboardInterrupt:
            # A thread that waits for the network does not say what it leaves.
            if self._has_moved:
                raise InterruptedTransfer from None
            raise
        if self._bug is not None:
            raise self._bug
        return self._results

    def moved(self, done: int, total: int | None) -> None:
        """Report the progress of the job that calls this; after an interrupt, end that job by KeyboardInterrupt."""
        self._has_moved = self._has_moved or done > 0
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        self._display.moved(self._current.number, done, total)

    def _next(self) -> tuple[int, Callable[[], T]] | None:
        with self._lock:
            return self._jobs.pop(0) if self._jobs else None

    def _work(self) -> None:
        while (numbered := self._next()) is not None:
            self._current.number, job = numbered
            try:
                self._results[self._current.number] = job()
            except errors.OpStoreError as failure:
                self._results[self._current.number] = failure
                if isinstance(failure, FATAL):
                    self._cancel_waiting()
            except BaseException as bug:  # noqa: BLE001 - `run` raises it
                self._bug = self._bug or bug
                self._cancel_waiting()
            self._display.ended(self._current.number)

    def _interrupt(self) -> None:
        self._interrupted.set()
        self._cancel_waiting()

    def _cancel_waiting(self) -> None:
        with self._lock:
            self._jobs.clear()
