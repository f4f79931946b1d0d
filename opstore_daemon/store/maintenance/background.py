"""Run a statement of the database that takes long, so that its caller can keep a connection alive meanwhile."""

import threading
from collections.abc import Callable, Generator
from typing import Generic, TypeVar, cast

from sqlalchemy import Connection

from opstore_daemon.metadata import Database
from opstore_daemon.store.places import POLL, IsCancelled

T = TypeVar("T")


def read_in_background(
    database: Database, work: Callable[[Connection], T], is_cancelled: IsCancelled
) -> Generator[None, None, T]:
    """Do the work in a reading transaction in a thread of its own; yield now and then, and return the result.

    Once `is_cancelled` returns True, the statement is interrupted. Raises what the work raises, and DatabaseFailed.
    """
    task = _Task(database, work)
    task.start()
    try:
        while task.is_alive():
            task.join(POLL)
            yield
            if is_cancelled():
                task.interrupt()
    finally:  # also if the caller stops
        task.interrupt()
        task.join()
    return task.result()


class _Task(threading.Thread, Generic[T]):
    """The thread, and what it returns or raises."""

    def __init__(self, database: Database, work: Callable[[Connection], T]) -> None:
        super().__init__(name="opstore-check", daemon=True)
        self._database, self._work = database, work
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._result: T | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            with self._database.read_for_long() as connection:
                with self._lock:
                    self._connection = connection
                try:
                    self._result = self._work(connection)
                finally:
                    with self._lock:  # before the connection goes back to its pool
                        self._connection = None
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error

    def interrupt(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._database.interrupt(self._connection)

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return cast(T, self._result)
