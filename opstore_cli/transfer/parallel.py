"""Several transfers at once: each ends by itself, well or not, and one display is told of all."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from opstore_cli.transfer.progress import Display
from opstore_daemon.protocol import errors

T = TypeVar("T")

AT_ONCE = 4  # transfers
LOOK = 0.2  # seconds between two looks at whether there was an interrupt
GRACE = 2.0  # seconds for transfers to clean up after an interrupt: one may hang on a line that has gone silent
# After these the other transfers would fail in the same way, and each only after a while.
HOPELESS = (errors.Unreachable, errors.NotAuthorised, errors.Unavailable)


class Several(Generic[T]):
    """Runs jobs, each in one of a few threads; `moved` is what they call with their progress."""

    def __init__(self, jobs: Sequence[Callable[[], T]], display: Display) -> None:
        self._jobs = list(enumerate(jobs))
        self._results: list[T | errors.OpStoreError | None] = [None] * len(self._jobs)
        self._display = display
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._interrupted = threading.Event()
        self._bug: BaseException | None = None

    def run(self) -> list[T | errors.OpStoreError | None]:
        """What each job returned or failed with; None where it was not begun, since another's failure was hopeless."""
        # Daemons, so that one which hangs does not keep the process.
        threads = [threading.Thread(target=self._work, daemon=True) for _ in self._jobs[:AT_ONCE]]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                # Not without an end: the system may hand the signal to another thread, which would not wake this one.
                while thread.is_alive():
                    thread.join(LOOK)
        except BaseException:
            self._interrupted.set()
            self._begin_no_more()
            deadline = time.monotonic() + GRACE
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            raise
        if self._bug is not None:
            raise self._bug
        return self._results

    def moved(self, done: int, total: int | None) -> None:
        """The progress of the job that calls it. After an interrupt it is where the job ends."""
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        self._display.moved(self._mine.number, done, total)

    def _next(self) -> tuple[int, Callable[[], T]] | None:
        with self._lock:
            return self._jobs.pop(0) if self._jobs else None

    def _work(self) -> None:
        while (found := self._next()) is not None:
            self._mine.number, job = found
            try:
                self._results[self._mine.number] = job()
            except errors.OpStoreError as failure:
                self._results[self._mine.number] = failure
                if isinstance(failure, HOPELESS):
                    self._begin_no_more()
            except BaseException as bug:  # noqa: BLE001 - the thread that waits raises it
                self._bug = self._bug or bug
                self._begin_no_more()
            self._display.ended(self._mine.number)

    def _begin_no_more(self) -> None:
        with self._lock:
            self._jobs.clear()
