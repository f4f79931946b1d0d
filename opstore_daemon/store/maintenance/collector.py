"""The collector of a store, which runs one collection at a time."""

import threading

from opstore_daemon.protocol import errors
from opstore_daemon.store.maintenance.collectable import Collectable
from opstore_daemon.store.maintenance.collection import RunningCollection
from opstore_daemon.store.places import IsCancelled, Places, check_client

ANOTHER = "another collection is running"
ENDING = 1.0  # seconds in which a collection ends whose client has gone: that client may already repeat its request


class Collector:
    """Starts the collections of one store."""

    def __init__(self, collectable: Collectable, reads: Places) -> None:
        """`reads` are the places of the store's long reads."""
        self._collectable, self._reads = collectable, reads
        self._running = threading.Lock()
        self._stopping = threading.Event()

    def start(self, grace: float, *, purge: bool, dry_run: bool, is_cancelled: IsCancelled) -> RunningCollection:
        """Return a collection, to be iterated over and closed; it ends soon after `stop`.

        Raises CollectionRefused if the blobs may not be those of the database, CollectionHeld if another collection
        runs on or somebody relies on all blobs, TooManyReads for a dry run beside others, and Unavailable.
        """
        self._collectable.check_ownership()
        if dry_run:
            self._reads.enter(lambda: check_client(is_cancelled))
        else:
            self._collectable.check_readers()  # raises now, before anything is done
            if not self._running.acquire(timeout=ENDING):
                raise errors.CollectionHeld(reason=ANOTHER)
        return RunningCollection(
            self._collectable,
            grace,
            purge=purge,
            dry_run=dry_run,
            is_cancelled=lambda: self._stopping.is_set() or is_cancelled(),
            end=self._reads.leave if dry_run else self._running.release,
        )

    def stop(self) -> None:
        """Have a running collection end after its current step, and every later one after its first."""
        self._stopping.set()
