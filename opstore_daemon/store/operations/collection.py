"""Collect garbage, or say what could be collected."""

from contextlib import closing

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Collection
from opstore_daemon.protocol.records.collections import DEFAULT_GRACE, MAX_GRACE
from opstore_daemon.store.maintenance.collection import RunningCollection
from opstore_daemon.store.operations.ingest import IngestOperations
from opstore_daemon.store.places import IsCancelled, never


class CollectionOperations(IngestOperations):
    """Collect what no version refers to (store.maintenance)."""

    def collect_garbage(
        self, *, grace: float = DEFAULT_GRACE, purge: bool = False, dry_run: bool = False
    ) -> Collection:
        """Delete what nobody needs any more (protocol.interface)."""
        with closing(self.start_collection(grace, purge=purge, dry_run=dry_run)) as running:
            return next(record for record in running if record is not None)

    def start_collection(
        self, grace: float, *, purge: bool, dry_run: bool, is_cancelled: IsCancelled = never
    ) -> RunningCollection:
        """Start a collection (RunningCollection), which ends once `is_cancelled` returns True.

        Raises CollectionRefused, CollectionHeld, InvalidRequest, TooManyReads and Unavailable.
        """
        if not 0 <= grace <= MAX_GRACE:
            raise errors.InvalidRequest(reason=f"the grace time has to be 0 to {MAX_GRACE} seconds")
        return self.collector.start(grace, purge=purge, dry_run=dry_run, is_cancelled=is_cancelled)
