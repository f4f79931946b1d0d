"""Threads that wait for the database or the storage of bytes, in place of the loop, which serves all connections."""

from collections.abc import Callable

from waitress.task import ThreadedTaskDispatcher

THREADS = 8  # that wait for an object store or its records; requests have threads of their own


class StorageThreads:
    """Runs work that waits, and wakes the loop after each piece of it.

    A saver whose objects are in a database has threads of its own for that, so that a slow object store keeps no thread
    from other requests. With other savers such work is short, and the threads of requests do it.
    """

    def __init__(self, requests: ThreadedTaskDispatcher, wake: Callable[[], None], *, are_slow: bool) -> None:
        """`requests` has the threads of requests; `wake` wakes the loop, from any thread."""
        self._own = ThreadedTaskDispatcher() if are_slow else None
        if self._own is not None:
            self._own.set_thread_count(THREADS)
        self._dispatcher = self._own or requests
        self.wake = wake

    def run(self, work: Callable[[], None]) -> None:
        """Do the work, which must not raise, in a thread."""
        self._dispatcher.add_task(_Task(work, self.wake))

    def shutdown(self) -> None:
        """Let running work end, and do none that waits for a thread."""
        if self._own is not None:
            self._own.shutdown(timeout=5)


class _Task:
    """Work in the form of a task of waitress."""

    def __init__(self, work: Callable[[], None], wake: Callable[[], None]) -> None:
        self._work, self._wake = work, wake

    def service(self) -> None:
        try:
            self._work()
        finally:
            self._wake()

    def cancel(self) -> None:
        """Do nothing: the server has ended, and so has whoever waited."""
