"""What the collector may collect, and how it is alone with it.

Nothing here relies on a clock or on the age of a file to be right. Whether a blob is garbage is decided under the write
lock of the database, in batches so small that pushes wait for milliseconds: no version that is not removed has its
digest, and no push of this process is about to make one (ingest.publications). The grace time is a courtesy to those
who notice a mistake, and to clients that ask whether a blob is there before they send only its digest.

A collected blob is renamed to the saver's trash, and deleted for good days later. A crash between any two steps leaves
garbage where it was or in the trash, for the next collection.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import journal
from opstore_daemon.store.ingest.publications import Publications
from opstore_daemon.store.ingest.uploads import Uploads


class Collectable:
    """A database and a saver, as a collection sees them."""

    def __init__(
        self,
        database: Database,
        saver: BaseSaver,
        uploads: Uploads,
        publications: Publications,
        now: Callable[[], int],
        *,
        owns_blobs: bool,
    ) -> None:
        """`now` returns the time in microseconds since the epoch; `owns_blobs`: the blobs belong to this database."""
        self.database, self.saver, self.uploads, self.publications = database, saver, uploads, publications
        self.now, self._owns_blobs = now, owns_blobs
        self._exclusive = threading.Lock()

    def check_ownership(self) -> None:
        """Raise CollectionRefused if the blobs may be those of another database, and Unavailable."""
        place = self.saver.place()
        if not self._owns_blobs:
            raise errors.CollectionRefused(reason=f"what is in {place} may belong to another store")
        if self.database.is_in_memory:
            if self.saver.outlives_process:
                raise errors.CollectionRefused(reason=f"the database is in memory, and {place} outlives it")
        elif self.saver.carries_id and self.saver.store_id() != self.database.store_id():
            raise errors.CollectionRefused(reason=f"{place} does not carry the id of this store")

    def check_readers(self) -> None:
        """Raise CollectionHeld if somebody relies on all blobs."""
        with self._locked():
            pass

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The threads of this process wait for each other: they are no readers, which the collection lock would report.
        with self._exclusive, self.saver.collection_lock.exclusive():
            yield

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """Read while no push and no reader of all blobs can begin to rely on a blob that nobody refers to.

        If the database records the objects of the saver, this is a transaction that writes, so that their changes are
        part of it: no daemon sees a blob go while it makes a version of it. Raises CollectionHeld, and what `check`
        raises.
        """
        transaction = self.database.write if self.saver.needs_records else self.database.read_between_writes
        with self._locked(), transaction() as connection:
            self.check(connection)
            yield connection

    def check(self, connection: Connection) -> None:
        """Raise Unavailable unless database and blobs are those that were opened, and have the same last commit."""
        self.database.verify()
        self.saver.check_place()
        recorded, ends_at = self.saver.position(), journal.last(connection)
        if ends_at < recorded:
            reason = f"its journal ends at position {ends_at}, and the blobs are those of position {recorded}"
            raise errors.DatabaseDamaged(database=self.database.name, reason=reason)
