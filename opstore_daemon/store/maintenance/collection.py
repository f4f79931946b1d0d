"""One collection: its steps, and what it did or would do."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import Collection
from opstore_daemon.savers.base import Trashed
from opstore_daemon.store import idempotency, journal
from opstore_daemon.store.blob_reader import BlobReader
from opstore_daemon.store.maintenance.collectable import Collectable
from opstore_daemon.store.maintenance.references import referenced, unreferenced
from opstore_daemon.store.places import IsCancelled

PAGE = 500  # blobs that are looked up at once, without a lock
BATCH = 32  # blobs that are looked at again and moved under the write lock
TRASH_RETENTION = 7 * 24 * 3600  # seconds
LEFTOVER_RETENTION = 24 * 3600
QUARANTINE_RETENTION = 30 * 24 * 3600
MAX_PROBLEMS = 10  # after which a step ends
_LATEST = 253_402_300_799  # the end of the year 9999, in seconds since the epoch


@dataclass
class Tally:
    """How many things, how many bytes, and when the first of them is due (seconds since the epoch)."""

    count: int = 0
    size: int = 0
    due: float | None = None

    def add(self, size: int, due: float | None = None) -> None:
        """Count one more thing of `size` bytes."""
        self.count += 1
        self.size += size
        if due is not None:
            self.due = due if self.due is None else min(self.due, due)

    def due_at(self) -> datetime | None:
        """Return when the first thing is due; None if that is unknown, or no date."""
        return None if self.due is None or not 0 <= self.due <= _LATEST else journal.to_datetime(int(self.due * 1e6))


class RunningCollection:
    """A collection: iterate over it, then `close` it.

    It yields None after each small step, so that the caller can keep a connection alive meanwhile, and at the end its
    record. What fails is one of the record's `problems`, and the rest goes on, unless `Collectable.check` fails.
    """

    def __init__(
        self,
        collectable: Collectable,
        grace: float,
        *,
        purge: bool,
        dry_run: bool,
        is_cancelled: IsCancelled,
        end: Callable[[], None],
    ) -> None:
        self._collectable, self._grace, self._purge, self._dry_run = collectable, grace, purge, dry_run
        self._saver, self._uploads, self._database = collectable.saver, collectable.uploads, collectable.database
        self._is_cancelled, self._end = is_cancelled, end
        self._expired, self._unfinished, self._drafts = Tally(), Tally(), Tally()
        self._garbage, self._waiting, self._trash, self._purged = Tally(), Tally(), Tally(), Tally()
        self._quarantine = Tally()
        self._problems: list[str] = []

    def __iter__(self) -> Iterator[Collection | None]:
        steps = [
            self._end_uploads,
            self._discard_drafts,
            self._collect_blobs,
            self._empty_trash,
            self._empty_quarantine,
        ]
        if not self._dry_run:
            steps.append(self._clean_up)
        try:
            for step in steps:
                with self._database.read() as connection:
                    self._collectable.check(connection)
                with self._tolerated():
                    for _ in step():
                        yield None
                        if self._is_cancelled():
                            yield self._record(complete=False)
                            return
        except errors.Unavailable as error:
            self._note(error)
        yield self._record()

    def close(self) -> None:
        """Let others collect. Closing twice is allowed."""
        end, self._end = self._end, lambda: None
        end()

    # --- uploads and drafts -------------------------------------------------------------------------------------------

    def _end_uploads(self) -> Iterator[None]:
        if not self._dry_run:
            self._uploads.correct_times()
        for page in self._uploads.by_age():
            for upload in page.unfinished:
                self._unfinished.add(self._saver.staged_size(upload))
            sizes = [self._saver.staged_size(upload) for upload in page.expired]
            if not self._dry_run and not self._uploads.end_all(page.expired):
                raise errors.StorageFailed(reason="expired uploads could not be deleted")
            for size in sizes:
                self._expired.add(size)
            yield

    def _discard_drafts(self) -> Iterator[None]:
        for upload in self._uploads.orphans():
            size = self._saver.staged_size(upload)
            if not self._dry_run:
                self._uploads.discard_bytes(upload)
            self._drafts.add(size)
            yield
        before = self._collectable.now() / 1e6 - LEFTOVER_RETENTION
        for size in self._saver.discard_leftovers(before, dry_run=self._dry_run):
            self._drafts.add(size)
            yield

    # --- blobs --------------------------------------------------------------------------------------------------------

    def _collect_blobs(self) -> Iterator[None]:
        for page in _pages(self._saver):
            with self._database.read() as connection:
                found = unreferenced(connection, page)
            yield
            due = [digest for digest in found if self._is_due(digest)]
            for start in range(0, len(due), BATCH):
                self._move(due[start : start + BATCH])
                yield

    def _is_due(self, digest: Digest) -> bool:
        """Return whether to move the blob; count one that stays and, in a dry run, one that would be moved."""
        try:
            size, published_at = self._saver.size(digest), self._saver.published_at(digest)
        except errors.BlobNotFound:  # a refused push has deleted it
            return False
        if digest in self._collectable.publications or not self._is_over(published_at, self._grace):
            self._waiting.add(size, published_at + self._grace)
            return False
        if self._dry_run:
            self._garbage.add(size)
        return not self._dry_run

    def _is_over(self, since: float, seconds: float) -> bool:
        # In either direction: a clock that was wrong may have set the time to one years ahead.
        return abs(self._collectable.now() / 1e6 - since) >= seconds

    def _move(self, batch: Sequence[Digest]) -> None:
        """Look at the blobs again, and move those that still are garbage to the trash."""
        with self._collectable.alone() as connection:
            for digest in unreferenced(connection, batch):
                with self._tolerated(), suppress(errors.BlobNotFound):
                    is_over = self._is_over(self._saver.published_at(digest), self._grace)
                    if is_over and digest not in self._collectable.publications:
                        self._take(digest, self._saver.size(digest))

    def _take(self, digest: Digest, size: int) -> None:
        try:
            self._saver.trash(digest)
            self._garbage.add(size)
        except errors.StorageFull:
            if not self._purge:
                raise
            # The disk has no room for a name in the trash, which is about to be emptied.
            self._saver.delete(digest)
            self._purged.add(size)

    # --- the trash ----------------------------------------------------------------------------------------------------

    def _empty_trash(self) -> Iterator[None]:
        for page in _pages(self._saver.trashed()):
            with self._database.read() as connection:
                self._collectable.check(connection)
                needed = set(referenced(connection, [each.digest for each in page]))
            for each in page:
                with self._tolerated():
                    if self._waits(each):
                        self._trash.add(each.size, each.trashed_at + TRASH_RETENTION)
                    elif each.digest in needed and not (yield from self._is_intact(each)):
                        self._keep_needed(each)
                    else:
                        self._purge_one(each)
                yield
        if self._dry_run:
            target = self._purged if self._purge else self._trash
            target.count += self._garbage.count
            target.size += self._garbage.size

    def _waits(self, each: Trashed) -> bool:
        return not self._purge and not self._is_over(each.trashed_at, TRASH_RETENTION)

    def _is_intact(self, each: Trashed) -> Generator[None, None, bool]:
        """Read the blob with the digest of what is in the trash; return whether it is there and intact."""
        try:
            # Not the size of what is in the trash: that may be several objects, or damaged.
            reader = BlobReader(self._saver, each.digest, self._saver.size(each.digest))
            try:
                for _ in reader:
                    yield None
            finally:
                reader.close()
        except (errors.IntegrityFailure, errors.BlobNotFound):
            return False
        return True

    def _keep_needed(self, each: Trashed) -> None:
        # Such as after an older copy of the database was put in its place: these may be the version's last bytes.
        self._trash.add(each.size)
        self._note(errors.StorageFailed(reason=f"{each.digest} stays in the trash, because a version needs it"))

    def _purge_one(self, each: Trashed) -> None:
        if not self._dry_run:
            self._saver.purge(each.digest)
        self._purged.add(each.size)

    def _empty_quarantine(self) -> Iterator[None]:
        for each in self._saver.quarantined():
            with self._tolerated():
                if not self._is_over(each.moved_at, QUARANTINE_RETENTION):
                    self._quarantine.add(each.size)
                    continue
                if not self._dry_run:
                    self._saver.purge_quarantined(each.name)
                self._purged.add(each.size)
            yield

    def _clean_up(self) -> Iterator[None]:
        """Delete expired results of requests, and refill the reserve now that there is space."""
        while self._database.write_freeing(
            lambda connection: idempotency.delete_expired(connection, self._collectable.now())
        ):
            yield
        self._database.regain_space()

    # --- the result ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _tolerated(self) -> Iterator[None]:
        """Note a failure in the context as a problem and go on, unless there are many or nothing may be collected."""
        try:
            yield
        except (errors.DatabaseReplaced, errors.DatabaseDamaged):
            raise
        except (errors.CollectionHeld, errors.Unavailable) as error:
            self._note(error)
            if len(self._problems) >= MAX_PROBLEMS:
                raise

    def _note(self, error: errors.OpStoreError) -> None:
        if error.text not in self._problems:
            self._problems.append(error.text)

    def _record(self, *, complete: bool = True) -> Collection:
        return Collection(
            dry_run=self._dry_run,
            complete=complete,
            freed=self._expired.size + self._drafts.size + self._purged.size,
            uploads=self._expired.count,
            uploads_size=self._expired.size,
            drafts=self._drafts.count,
            drafts_size=self._drafts.size,
            garbage=self._garbage.count,
            garbage_size=self._garbage.size,
            purged=self._purged.count,
            purged_size=self._purged.size,
            trash=self._trash.count,
            trash_size=self._trash.size,
            purged_at=self._trash.due_at(),
            waiting=self._waiting.count,
            waiting_size=self._waiting.size,
            collected_at=self._waiting.due_at(),
            quarantine=self._quarantine.count,
            quarantine_size=self._quarantine.size,
            unfinished=self._unfinished.count,
            unfinished_size=self._unfinished.size,
            problems=tuple(self._problems),
        )


T = TypeVar("T")


def _pages(found: Iterable[T]) -> Iterator[list[T]]:
    """Yield what is found in lists of at most PAGE."""
    found = iter(found)
    while page := list(islice(found, PAGE)):
        yield page
