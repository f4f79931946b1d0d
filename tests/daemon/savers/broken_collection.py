"""Savers whose trash or collection lock is broken on purpose, each in a way that somebody will get wrong one day."""

from collections.abc import Iterator
from contextlib import contextmanager

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import BaseSaver
from opstore_daemon.savers.base import Trashed
from opstore_daemon.savers.collection_lock import READERS, ProcessCollectionLock
from tests.daemon.savers.broken_drafts import BrokenSaver


class CopiesToTheTrash(BrokenSaver):
    def trash(self, digest: Digest) -> None:
        blob = self._blobs.get(digest)
        super().trash(digest)
        if blob is not None:
            self._blobs[digest] = blob


class HasNoTrash(BrokenSaver):
    def trash(self, digest: Digest) -> None:
        self.delete(digest)


class CountsFromThePublication(BrokenSaver):
    """Lets a blob that is old when it is collected be purged at once."""

    def trashed(self) -> Iterator[Trashed]:
        return (each._replace(trashed_at=0.0) for each in super().trashed())


class PurgesTheBlobToo(BrokenSaver):
    def purge(self, digest: Digest) -> None:
        super().purge(digest)
        self.delete(digest)


class ListsTheTrashLive(BrokenSaver):
    def trashed(self) -> Iterator[Trashed]:
        return iter(self._trash.values())


class InsistsOnTheTrash(BrokenSaver):
    """Fails to trash or purge what does not exist."""

    def trash(self, digest: Digest) -> None:
        self._blob(digest)
        super().trash(digest)

    def purge(self, digest: Digest) -> None:
        if digest not in self._trash:
            raise errors.BlobNotFound(digest=digest)
        super().purge(digest)


class TrashesOnce(BrokenSaver):
    """Leaves a blob where it is if the trash has one of that digest, as rename(2) does for two names of one file."""

    def trash(self, digest: Digest) -> None:
        if digest not in self._trash:
            super().trash(digest)


class TrashesAnyText(BrokenSaver):
    def trash(self, digest: Digest) -> None:
        if digest in self._blobs:
            super().trash(digest)


class _NoLock(ProcessCollectionLock):
    @contextmanager
    def shared(self) -> Iterator[None]:
        yield

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        yield


class CollectsAtAnyTime(BrokenSaver):
    """Has a lock that keeps nobody away."""

    @property
    def collection_lock(self) -> ProcessCollectionLock:
        return _NoLock()


class _OneReader(ProcessCollectionLock):
    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            if self._readers:
                raise errors.CollectionHeld(reason=READERS)
        with super().shared():
            yield


class HasOneReader(BrokenSaver):
    def __init__(self) -> None:
        super().__init__()
        self._collection_lock = _OneReader()


class _Impatient(ProcessCollectionLock):
    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            if self._collects:
                raise errors.CollectionHeld(reason=READERS)
        with super().shared():
            yield


class RefusesReaders(BrokenSaver):
    """Refuses a reader during a batch of the collector, where it has to wait for a moment."""

    def __init__(self) -> None:
        super().__init__()
        self._collection_lock = _Impatient()


SABOTEURS: dict[type[BaseSaver], str] = {
    CopiesToTheTrash: "test_a_blob_in_the_trash_is_no_blob",
    HasNoTrash: "test_the_trash_lists_what_is_in_it",
    CountsFromThePublication: "test_the_trash_lists_what_is_in_it",
    PurgesTheBlobToo: "test_purging_deletes_what_is_in_the_trash_and_no_blob",
    ListsTheTrashLive: "test_what_is_in_the_trash_may_be_purged_while_it_is_listed",
    InsistsOnTheTrash: "test_trashing_or_purging_what_is_missing_does_nothing",
    TrashesOnce: "test_a_blob_is_trashed_again_after_it_was_published_again",
    TrashesAnyText: "test_an_invalid_digest_is_neither_trashed_nor_purged",
    CollectsAtAnyTime: "test_readers_keep_collectors_away",
    HasOneReader: "test_readers_keep_collectors_away",
    RefusesReaders: "test_one_collector_keeps_another_away_and_readers_wait_for_it",
}
"""Each with a test that has to fail for it."""
