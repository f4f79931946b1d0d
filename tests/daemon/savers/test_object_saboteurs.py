"""S3Saver with one of its guards taken out fails the conformance test that is about that guard.

The suite as a whole is tested with savers that need no server (test_saboteurs.py); here each runs one test.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from sqlalchemy import Connection

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import Draft, S3Saver
from opstore_daemon.savers.examination import Stored
from opstore_daemon.savers.object_records import Discarded, DraftRecord, InTrash, State
from opstore_daemon.savers.object_store.draft import ObjectDraft
from opstore_daemon.store.object_records import DatabaseObjectRecords
from tests.daemon.savers.objects_joined import S3SaverJoins
from tests.support.figures import few
from tests.support.object_store import Bucket

# --- records ----------------------------------------------------------------------------------------------------------


class TakesWithoutFence(DatabaseObjectRecords):
    """Leaves earlier writers of an upload in their right."""

    def take(self, upload: str) -> DraftRecord:
        return self.draft(upload) or super().take(upload)


class ChecksNoFence(DatabaseObjectRecords):
    def set_tail(self, upload: str, fence: int, tail_key: str, tail_size: int) -> None:
        super().set_tail(upload, self.fence(upload) or fence, tail_key, tail_size)


class CountsFencesFromOne(DatabaseObjectRecords):
    def take(self, upload: str) -> DraftRecord:
        taken = super().take(upload)
        if taken.fence > 1000:
            with self._database.write() as connection:
                connection.exec_driver_sql("UPDATE object_draft SET fence = 1 WHERE upload = ?", (upload,))
            return super().take(upload)
        return taken


class PublishesWhatIsDeleted(DatabaseObjectRecords):
    def publish(self, key: str, digest: Digest, size: int) -> bool:
        with self._database.write() as connection:
            columns = "(key, state, at) VALUES (?, 'draft', 1)"
            connection.exec_driver_sql(f"INSERT OR IGNORE INTO object {columns}", (key,))
            connection.exec_driver_sql("UPDATE object SET state = 'draft' WHERE key = ? AND state = 'deleting'", (key,))
        return super().publish(key, digest, size)

    def seal(self, upload: str, fence: int) -> DraftRecord:
        return super().seal(upload, self.fence(upload) or fence)

    def set_tail(self, upload: str, fence: int, tail_key: str, tail_size: int) -> None:
        super().set_tail(upload, self.fence(upload) or fence, tail_key, tail_size)


class KeepsTheFirstBlob(DatabaseObjectRecords):
    """Publishes nothing if there is a blob: a push repairs nothing."""

    def publish(self, key: str, digest: Digest, size: int) -> bool:
        return self.blob(digest) is not None or super().publish(key, digest, size)


class ForgetsObjectsOfDiscardedDrafts(DatabaseObjectRecords):
    def discard(self, upload: str) -> Discarded | None:
        found = super().discard(upload)
        return None if found is None else found._replace(objects=[])


class DeletesObjectsOfDrafts(DatabaseObjectRecords):
    """Has no object become a draft again, so that the upload can't be published once more."""

    def _move(self, connection: Connection, key: str, before: State, after: State) -> bool:
        if after == "deleting":
            moved = connection.exec_driver_sql(
                "UPDATE object SET state = 'deleting' WHERE key = ? AND state = ?", (key, before)
            )
            return moved.rowcount > 0
        return super()._move(connection, key, before, after)


class TrashesForGood(DatabaseObjectRecords):
    def trashed(self, after: str, limit: int) -> Sequence[InTrash]:
        return []


# --- the saver --------------------------------------------------------------------------------------------------------


class FlushesNothing(S3Saver):
    def draft(self, upload: str) -> Draft:
        draft = super().draft(upload)
        draft.flush = lambda: None  # type: ignore[method-assign]
        return draft


class WaitsForNoPart(S3Saver):
    """Reports the bytes that it has accepted as stored ones."""

    def draft(self, upload: str) -> Draft:
        draft = super().draft(upload)
        assert isinstance(draft, ObjectDraft)
        draft._assembly.store_tail = lambda data: None  # type: ignore[method-assign]
        return draft


class DiscardsOnlyTheRecord(S3Saver):
    def discard(self, upload: str) -> None:
        self._records.discard(upload)


class PurgesTheBlobToo(S3Saver):
    def purge(self, digest: Digest) -> None:
        self.trash(digest)
        super().purge(digest)


class DeletesInsteadOfTrashing(S3Saver):
    def trash(self, digest: Digest) -> None:
        self.delete(digest)


class PutsWithoutRecord(S3Saver):
    """Creates objects that nobody has recorded: a crash leaves what no collection finds."""

    def put(self, data: bytes, digest: Digest, upload: str) -> None:
        self._bucket.put(f"objects/cc/{upload}", data)
        super().put(data, digest, upload)


class ReadsFromTheStart(S3Saver):
    def open(self, digest: Digest) -> BinaryIO:
        file = super().open(digest)
        cast(Any, file).seek = lambda *_: 0
        return file


class ClaimsInMemory(S3Saver):
    def claim(self, store_id: str) -> None:
        self._identity._id = store_id
        self._identity.store_id = lambda: store_id  # type: ignore[method-assign]


class ForgetsThePosition(S3Saver):
    def release(self) -> None:
        pass


class ExaminesWithoutState(S3Saver):
    def examine(self, digest: Digest) -> Stored:
        return super().examine(digest)._replace(state="the same")


class QuarantinesWhatWasReplaced(S3Saver):
    def quarantine(self, digest: Digest, state: str) -> bool:
        return super().quarantine(digest, self.examine(digest).state)


class ShowsDraftsAsBlobs(S3Saver):
    def __iter__(self) -> Iterator[Digest]:
        yield from super().__iter__()
        yield from (Digest(f"sha256:{each.key * 2}") for each in self._in_state("draft"))


SABOTEURS: dict[type[S3Saver] | type[DatabaseObjectRecords], str] = {
    TakesWithoutFence: "test_the_newest_draft_of_an_upload_is_its_writer",
    ChecksNoFence: "test_what_was_not_flushed_does_not_count",
    CountsFencesFromOne: "test_a_draft_that_was_discarded_while_open_publishes_nothing",
    PublishesWhatIsDeleted: "test_a_draft_that_was_discarded_while_open_publishes_nothing",
    KeepsTheFirstBlob: "test_publishing_the_right_bytes_repairs_a_damaged_blob",
    ForgetsObjectsOfDiscardedDrafts: "test_a_discarded_draft_begins_at_0_again",
    DeletesObjectsOfDrafts: "test_a_blob_that_a_collector_took_is_published_again",
    TrashesForGood: "test_the_trash_lists_what_is_in_it",
    FlushesNothing: "test_flushed_bytes_need_no_close",
    WaitsForNoPart: "test_a_closed_draft_is_reopened_at_its_offset",
    DiscardsOnlyTheRecord: "test_a_discarded_draft_begins_at_0_again",
    PurgesTheBlobToo: "test_purging_deletes_what_is_in_the_trash_and_no_blob",
    DeletesInsteadOfTrashing: "test_the_trash_lists_what_is_in_it",
    PutsWithoutRecord: "test_bytes_in_memory_become_a_blob_and_leave_no_draft",
    ReadsFromTheStart: "test_an_open_blob_is_seekable_and_starts_at_0",
    ClaimsInMemory: "test_claimed_storage_carries_the_id_of_its_store_after_a_restart",
    ForgetsThePosition: "test_claimed_storage_has_the_largest_position_that_was_recorded",
    ExaminesWithoutState: "test_a_blob_that_was_published_again_has_another_state",
    QuarantinesWhatWasReplaced: "test_a_blob_that_was_published_again_is_not_moved_away",
    ShowsDraftsAsBlobs: "test_iteration_yields_each_blob_once_and_no_draft",
}
"""Each with the test that has to fail for it."""


class Suite(S3SaverJoins):
    """The conformance tests for a broken saver, or for a saver with broken records."""

    broken: type[S3Saver] | type[DatabaseObjectRecords]

    def reopen(self, saver: Any) -> S3Saver:
        kind = self.broken if issubclass(self.broken, S3Saver) else S3Saver
        opened = kind(self.bucket.url)
        records = DatabaseObjectRecords if issubclass(self.broken, S3Saver) else self.broken
        opened.attach(records(self.database))
        return opened


Suite.__test__ = False  # type: ignore[attr-defined]


@contextmanager
def prepared(suite: S3SaverJoins, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    steps = S3SaverJoins.storage.__wrapped__(suite, bucket, tmp_path, monkeypatch)  # type: ignore[attr-defined]
    next(steps)
    yield
    next(steps, None)


@pytest.mark.parametrize("test", ["test_the_trash_lists_what_is_in_it", "test_flushed_bytes_need_no_close"])
def test_a_working_saver_passes(test: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = Suite()
    suite.broken = S3Saver
    with prepared(suite, bucket, tmp_path, monkeypatch):
        _run(suite, suite.make_saver(), test)


@pytest.mark.parametrize("broken", few(3, SABOTEURS), ids=lambda broken: broken.__name__)
def test_a_guard_that_is_taken_out_is_missed(
    broken: type[S3Saver], bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = Suite()
    suite.broken = broken
    with prepared(suite, bucket, tmp_path, monkeypatch):
        saver = suite.make_saver()
        with pytest.raises((Exception, pytest.fail.Exception)):
            _run(suite, saver, SABOTEURS[broken])


def _run(suite: S3SaverJoins, saver: Any, test: str) -> None:
    try:
        getattr(suite, test)(saver)
    finally:
        saver.release()
    suite.check_leftovers(saver)
