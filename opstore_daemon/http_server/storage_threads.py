"""Threads that wait for the storage of bytes, in place of the loop, which serves all connections, and of requests."""

import threading
from collections.abc import Callable
from typing import Any

from waitress.task import ThreadedTaskDispatcher

THREADS = 8  # that read and store bytes for the loop
REQUESTS = 12  # that run requests which read or store bytes


class StorageThreads:
    """Runs work and requests that wait for the storage, and wakes the loop after each piece of work.

    If that is an object store (`are_slow`), they have threads of their own: a slow one keeps no thread from other
    requests. Otherwise the waits are short, and the threads of all requests do it.
    """

    def __init__(self, requests: ThreadedTaskDispatcher, wake: Callable[[], None], *, are_slow: bool) -> None:
        """`requests` has the threads of all other requests; `wake` wakes the loop, from any thread."""
        self.are_slow, self.wake = are_slow, wake
        self._own = [_Dispatcher(THREADS), _Dispatcher(REQUESTS)] if are_slow else []
        self._work, self._requests = self._own or [requests, requests]

    def run(self, work: Callable[[], None]) -> None:
        """Do the work, which must not raise, in a thread."""
        self._work.add_task(_Task(work, self.wake))

    def serve(self, connection: Any) -> None:
        """Run the request of a connection, a waitress channel, in a thread."""
        self._requests.add_task(connection)

    def are_wanted(self) -> bool:
        """Return whether a request waits for a thread."""
        return bool(self._requests.queue)

    def shutdown(self) -> None:
        """Let running work and requests end, and run none that waits for a thread."""
        for dispatcher in self._own:
            dispatcher.shutdown(timeout=5)


class _Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Threads that a stack dump shows as those of the storage."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.set_thread_count(threads)

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        """Start one of the threads."""
        threading.Thread(target=target, name=f"opstore-storage-{thread_no}", args=(thread_no,), daemon=True).start()


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
