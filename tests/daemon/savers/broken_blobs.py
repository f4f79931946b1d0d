"""Savers whose blobs are broken on purpose, each in a way that somebody will get wrong one day."""

import io
from collections.abc import Iterator
from typing import BinaryIO

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.savers import BaseSaver
from opstore_daemon.savers.examination import Irregularity, Stored
from opstore_daemon.savers.memory import _Blob, _Staged
from tests.daemon.savers.broken_drafts import BrokenSaver


class KeepsTheFirst(BrokenSaver):
    """Never replaces a blob or renews its age, so that a push repairs nothing."""

    def _publish(self, upload: str, staged: _Staged, digest: Digest) -> None:
        kept = self._blobs.get(digest)
        super()._publish(upload, staged, digest)
        if kept is not None:
            self._blobs[digest] = kept


class GetsOlder(BrokenSaver):
    """Keeps the age of a blob that is published again, so that a collector takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.publishes = 0

    def _publish(self, upload: str, staged: _Staged, digest: Digest) -> None:
        super()._publish(upload, staged, digest)
        self.publishes += 1
        self._blobs[digest] = _Blob(self._blobs[digest].data, 1e9 - self.publishes)


class RefusesWhatItHas(BrokenSaver):
    """Fails the second publish of the same bytes."""

    def _publish(self, upload: str, staged: _Staged, digest: Digest) -> None:
        if digest in self._blobs:
            raise errors.StorageFailed(reason="the file exists")
        super()._publish(upload, staged, digest)


class LosesTheEmpty(BrokenSaver):
    """Treats an empty blob as missing."""

    def _publish(self, upload: str, staged: _Staged, digest: Digest) -> None:
        super()._publish(upload, staged, digest)
        if not staged.data:
            del self._blobs[digest]


class DiscardsTheBlob(BrokenSaver):
    def discard(self, upload: str) -> None:
        staged = self._staging.get(upload)
        super().discard(upload)
        if staged is not None and staged.sealed:
            self._blobs.pop(digest_of(staged.data), None)


class InsistsOnBeingThere(BrokenSaver):
    """Fails to delete or discard what does not exist."""

    def discard(self, upload: str) -> None:
        super().discard(upload if upload in self._staging else "")

    def delete(self, digest: Digest) -> None:
        self._blob(digest)
        super().delete(digest)


class ListsDrafts(BrokenSaver):
    def __iter__(self) -> Iterator[Digest]:
        return iter([*super().__iter__(), *(digest_of(staged.data) for staged in self._staging.values())])


class ListsLive(BrokenSaver):
    """Iterates over its content while it changes."""

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._blobs)

    def drafts(self) -> Iterator[str]:
        return iter(self._staging)


class SharesThePosition(BrokenSaver):
    """Returns the same file to everybody who opens a blob."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[Digest, BinaryIO] = {}

    def open(self, digest: Digest) -> BinaryIO:
        file = self.files.get(digest)
        if file is None or file.closed:
            file = self.files[digest] = super().open(digest)
        return file


class OpensAtTheEnd(BrokenSaver):
    def open(self, digest: Digest) -> BinaryIO:
        file = super().open(digest)
        file.seek(0, io.SEEK_END)
        return file


class OpensLate(BrokenSaver):
    """Opens the bytes when they are read, when they may be gone."""

    def open(self, digest: Digest) -> BinaryIO:
        saver = self

        class Late(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                saver._blob(digest)
                return super().read(size)

        return Late(self._blob(digest).data)


class FindsNothingEmpty(BrokenSaver):
    """Returns an empty blob for a missing one."""

    def _blob(self, digest: Digest) -> _Blob:
        return self._blobs.get(Digest.parse(digest), _Blob(b"", 1.0))


class DeletesNothing(BrokenSaver):
    def delete(self, digest: Digest) -> None:
        Digest.parse(digest)


class ContainsAnything(BrokenSaver):
    def __contains__(self, digest: object) -> bool:
        return True


class CountsWrong(BrokenSaver):
    """Counts sizes in characters and free space in gigabytes."""

    def size(self, digest: Digest) -> int:
        return len(self._blob(digest).data.decode())

    def free(self) -> int | None:
        return 0.5  # type: ignore[return-value]


class TrustsDigests(BrokenSaver):
    """Accepts any text as a digest."""

    def _blob(self, digest: Digest) -> _Blob:
        if digest not in self._blobs:
            raise errors.BlobNotFound(digest=digest)
        return self._blobs[digest]


class HasNoName(BrokenSaver):
    def place(self) -> str:
        return ""


class IsClaimedFromTheStart(BrokenSaver):
    def store_id(self) -> str | None:
        return self._store_id or "a" * 32


class KeepsTheFirstClaim(BrokenSaver):
    def claim(self, store_id: str) -> None:
        self._store_id = self._store_id or store_id


class EmptiesItselfForAClaim(BrokenSaver):
    """Begins anew for a store that claims it."""

    def claim(self, store_id: str) -> None:
        super().claim(store_id)
        self._blobs.clear()


class TakesThePositionOfAnotherStore(BrokenSaver):
    def claim(self, store_id: str) -> None:
        self._store_id = store_id


class TakesTheLastPosition(BrokenSaver):
    """Forgets a larger one that was recorded earlier."""

    def record_position(self, position: int) -> None:
        if self._store_id is not None:
            self._position = position


class SharesItself(BrokenSaver):
    """Is used by everybody at the same time."""

    def acquire(self, home: str | None = None) -> None:
        self._acquired = True


class IsHeldForEver(BrokenSaver):
    def release(self) -> None:
        pass


class LosesItsPlace(BrokenSaver):
    def check_place(self) -> None:
        raise errors.StorageFailed(reason="it is elsewhere")


class TakesDraftsForBlobs(BrokenSaver):
    def has_blobs(self) -> bool:
        return bool(self._blobs or self._staging)


class ExaminesWhatIsMissing(BrokenSaver):
    """Says that a blob which is gone has no bytes."""

    def examine(self, digest: Digest) -> Stored:
        return super().examine(digest) if digest in self._blobs else Stored(0, None, "")


class HasOneState(BrokenSaver):
    """Says that nothing changes."""

    def examine(self, digest: Digest) -> Stored:
        return super().examine(digest)._replace(state="the same")


class SurveysTwice(BrokenSaver):
    def survey(self, part: str) -> Iterator[Digest | Irregularity]:
        return iter([*self, *self])


class MovesAnything(BrokenSaver):
    """Moves away what was published meanwhile."""

    def quarantine(self, digest: Digest, state: str) -> bool:
        return self._blobs.pop(digest, None) is not None


class MovesNothing(BrokenSaver):
    """Says that it moved away what is still there."""

    def quarantine(self, digest: Digest, state: str) -> bool:
        return digest in self._blobs and self._blobs[digest].state == state


SABOTEURS: dict[type[BaseSaver], str] = {
    HasNoName: "test_storage_has_a_name_for_messages",
    IsClaimedFromTheStart: "test_new_storage_carries_no_id",
    KeepsTheFirstClaim: "test_claimed_storage_carries_the_id_of_its_store_after_a_restart",
    EmptiesItselfForAClaim: "test_a_claim_touches_no_blob_and_no_draft",
    TakesThePositionOfAnotherStore: "test_claimed_storage_has_the_largest_position_that_was_recorded",
    TakesTheLastPosition: "test_claimed_storage_has_the_largest_position_that_was_recorded",
    SharesItself: "test_acquired_storage_is_in_use_until_it_is_released",
    IsHeldForEver: "test_storage_can_be_released_twice",
    LosesItsPlace: "test_acquired_storage_is_in_its_place",
    TakesDraftsForBlobs: "test_drafts_are_no_blobs",
    KeepsTheFirst: "test_publishing_the_right_bytes_repairs_a_damaged_blob",
    GetsOlder: "test_publishing_a_blob_again_renews_its_age",
    RefusesWhatItHas: "test_two_drafts_may_publish_the_same_bytes",
    LosesTheEmpty: "test_an_empty_blob_is_a_blob",
    DiscardsTheBlob: "test_discarding_the_draft_keeps_the_blob",
    InsistsOnBeingThere: "test_deleting_a_missing_blob_does_nothing",
    ListsDrafts: "test_iteration_yields_each_blob_once_and_no_draft",
    ListsLive: "test_blobs_may_be_deleted_while_they_are_listed",
    SharesThePosition: "test_each_open_blob_has_its_own_position",
    OpensAtTheEnd: "test_an_open_blob_is_seekable_and_starts_at_0",
    OpensLate: "test_an_open_blob_stays_readable_after_its_deletion",
    FindsNothingEmpty: "test_a_missing_blob_is_not_found",
    DeletesNothing: "test_a_deleted_blob_is_gone",
    ContainsAnything: "test_containment_accepts_any_object",
    CountsWrong: "test_the_size_is_in_bytes",
    ExaminesWhatIsMissing: "test_a_blob_is_examined",
    HasOneState: "test_a_blob_that_was_published_again_has_another_state",
    SurveysTwice: "test_a_survey_of_all_parts_yields_each_blob_once",
    MovesAnything: "test_a_blob_that_was_published_again_is_not_moved_away",
    MovesNothing: "test_a_blob_that_was_moved_away_is_none_until_it_is_published_again",
    TrustsDigests: "test_an_invalid_digest_is_refused",
}
"""Each with a test that has to fail for it."""
