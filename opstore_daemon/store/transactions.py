"""Run a verb as one transaction, and at most once for each idempotency key."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self, TypeVar

from sqlalchemy import Connection

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.migrate import known_revisions
from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.times import as_shown
from opstore_daemon.savers import BaseSaver
from opstore_daemon.store import idempotency, journal
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.snapshot import as_of as snapshot_as_of
from opstore_daemon.store.validity.searches import Searches

T = TypeVar("T")


def utc() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


@contextmanager
def _naming(as_of: str | None) -> Iterator[None]:
    """Have the errors about a past state name its time or position."""
    try:
        yield
    except errors.NotFound as error:
        if as_of is not None:
            error.at(as_of, as_shown(as_of))
        raise


class Transactions:
    """Reads and writes of a store, each as one transaction: the base class of all operations."""

    def __init__(self, database: Database, saver: BaseSaver, clock: Callable[[], datetime]) -> None:
        self.database, self.saver = database, saver
        self._clock = clock
        self._newest_schema = known_revisions()[-1]  # now: an upgrade of the program brings files of later ones
        self.searches = Searches()
        self._results = idempotency.quota()
        self._request: IdempotentRequest | None = None
        self._author: str | None = None

    def now(self) -> datetime:
        """Return the time of the store's clock."""
        return self._clock()

    def _now(self) -> int:
        return journal.to_microseconds(self._clock())

    def _stamp(self) -> Stamp:
        """Return what the entries of the caller's transaction share. Call it once in a transaction."""
        return Stamp(self._now(), self._author)

    def idempotent(self, request: IdempotentRequest | None) -> Self:
        """Return this store bound to one request: if the request is repeated, its write is not."""
        bound = copy.copy(self)
        bound._request = request
        return bound

    def by(self, author: str | None) -> Self:
        """Return this store with an author, whom the entries of its writes name (protocol.authors)."""
        bound = copy.copy(self)
        bound._author = author
        return bound

    def _write(self, kind: type[T], work: Callable[[Connection], T]) -> T:
        """Do the work in one transaction and return its result, or the result of an earlier request with the key."""
        with self._deleting_expired(), self.database.write() as connection:
            result, position = self._with_position(connection, kind, work)
        self.saver.record_position(position)
        return result

    def _write_freeing(self, kind: type[T], work: Callable[[Connection], T]) -> T:
        """Do what `_write` does, for work that frees space: on a full disk it may use the reserve."""
        with self._deleting_expired():
            result, position = self.database.write_freeing(
                lambda connection: self._with_position(connection, kind, work)
            )
        self.saver.record_position(position)
        return result

    @contextmanager
    def _deleting_expired(self) -> Iterator[None]:
        """Delete expired results of requests even if the quota refuses one: its own deletions are rolled back."""
        try:
            yield
        except errors.QuotaExceeded:
            with self.database.write() as connection:
                idempotency.delete_expired(connection, self._now())
            raise

    def _with_position(self, connection: Connection, kind: type[T], work: Callable[[Connection], T]) -> tuple[T, int]:
        """Return the result, and the position of the journal at the end of the transaction."""
        with journal.counting(connection) as last_position:
            return self._once(connection, kind, work), last_position()

    def _once(self, connection: Connection, kind: type[T], work: Callable[[Connection], T]) -> T:
        if self._request is None:
            return work(connection)
        before = idempotency.find(connection, self._request)
        if before.body is not None:
            return records.decoder(kind).decode(before.body)
        if idempotency.is_expired(before.oldest_at, self._now()):
            idempotency.delete_expired(connection, self._now())
        self._results.take(connection, self._request.owner)
        result = work(connection)
        idempotency.save(connection, self._request, records.encode(result), self._now())
        return result

    @contextmanager
    def _snapshot(self, as_of: str | None = None) -> Iterator[Snapshot]:
        """Read the current state, or the state as of a position or a time (store.snapshot)."""
        with self.database.read() as connection, _naming(as_of):
            yield snapshot_as_of(connection, as_of)

    @contextmanager
    def _search_snapshot(self, as_of: str | None = None) -> Iterator[Snapshot]:
        """Read as `_snapshot` does, for long: nobody waits meanwhile, also if the database is in memory."""
        with self.database.read_for_long() as connection, _naming(as_of):
            yield snapshot_as_of(connection, as_of)

    def _unless_repeated(self, kind: type[T], work: Callable[[], T]) -> T:
        """Do work that reads before its transaction, unless an earlier request with the same key has done it.

        That one may finish while the work reads: then what it changed looks like a reason to refuse this one.
        """
        earlier = self._earlier_result(kind)
        if earlier is not None:
            return earlier
        try:
            return work()
        except (errors.NotFound, errors.Conflict, errors.IntegrityFailure):
            earlier = self._earlier_result(kind)
            if earlier is None:
                raise
            return earlier

    def _earlier_result(self, kind: type[T]) -> T | None:
        """Return the result of an earlier request with the same key, or None."""
        if self._request is None:
            return None
        with self.database.read() as connection:
            before = idempotency.find(connection, self._request).body
        return None if before is None else records.decoder(kind).decode(before)
