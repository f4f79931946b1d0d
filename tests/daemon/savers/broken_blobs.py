"""Savers whose blobs are broken on purpose, each in one way that somebody will get wrong one day."""

import io
from collections.abc import Iterator
from typing import BinaryIO

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.savers import BaseSaver
from opstore_daemon.savers.memory import _Blob, _Staged
from tests.daemon.savers.broken_drafts import BrokenSaver


class KeepsTheFirst(BrokenSaver):
    """It never replaces a blob, nor makes it younger: push does not mend."""

    def _publish(self, upload: str, staged: _Staged, digest: Digest) -> None:
        kept = self._blobs.get(digest)
        super()._publish(upload, staged, digest)
        if kept is not None:
            self._blobs[digest] = kept


class GetsOlder(BrokenSaver):
    """A blob that is published again keeps its age, so that a collector takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.publishes = 0

    def _publish(self, upload: str, staged: _Staged, digest: Digest) -> None:
        super()._publish(upload, staged, digest)
        self.publishes += 1
        self._blobs[digest] = _Blob(self._blobs[digest].data, 1e9 - self.publishes)


class RefusesWhatItHas(BrokenSaver):
    """The second publish of the same bytes is an error."""

    def _publish(self, upload: str, staged: _Staged, digest: Digest) -> None:
        if digest in self._blobs:
            raise errors.StorageFailed(reason="the file exists")
        super()._publish(upload, staged, digest)


class LosesTheEmpty(BrokenSaver):
    """It takes no bytes for no blob."""

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
    """Deleting or discarding what is not there is an error."""

    def discard(self, upload: str) -> None:
        super().discard(upload if upload in self._staging else "")

    def delete(self, digest: Digest) -> None:
        self._blob(digest)
        super().delete(digest)


class ListsDrafts(BrokenSaver):
    def __iter__(self) -> Iterator[Digest]:
        return iter([*super().__iter__(), *(digest_of(staged.data) for staged in self._staging.values())])


class ListsLive(BrokenSaver):
    """It lists what it has while it changes."""

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._blobs)

    def drafts(self) -> Iterator[str]:
        return iter(self._staging)


class SharesThePosition(BrokenSaver):
    """Whoever opens a blob gets the same file."""

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
    """It looks for the bytes when they are read, and they may be gone."""

    def open(self, digest: Digest) -> BinaryIO:
        saver = self

        class Late(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                saver._blob(digest)
                return super().read(size)

        return Late(self._blob(digest).data)


class FindsNothingEmpty(BrokenSaver):
    """What is missing is an empty blob."""

    def _blob(self, digest: Digest) -> _Blob:
        return self._blobs.get(Digest.parse(digest), _Blob(b"", 1.0))


class DeletesNothing(BrokenSaver):
    def delete(self, digest: Digest) -> None:
        Digest.parse(digest)


class ContainsAnything(BrokenSaver):
    def __contains__(self, digest: object) -> bool:
        return True


class CountsWrong(BrokenSaver):
    """Sizes in characters, free space in gigabytes."""

    def size(self, digest: Digest) -> int:
        return len(self._blob(digest).data.decode())

    def free(self) -> int | None:
        return 0.5  # type: ignore[return-value]


class TrustsDigests(BrokenSaver):
    """It takes any text for a digest."""

    def _blob(self, digest: Digest) -> _Blob:
        if digest not in self._blobs:
            raise errors.BlobNotFound(digest=digest)
        return self._blobs[digest]


SABOTEURS: dict[type[BaseSaver], str] = {
    KeepsTheFirst: "test_a_damaged_blob_is_mended_by_the_right_bytes",
    GetsOlder: "test_a_blob_is_young_again_when_it_is_published_again",
    RefusesWhatItHas: "test_two_drafts_may_publish_the_same_bytes",
    LosesTheEmpty: "test_an_empty_blob_is_a_blob",
    DiscardsTheBlob: "test_discarding_the_draft_keeps_the_blob",
    InsistsOnBeingThere: "test_deleting_a_missing_blob_is_fine",
    ListsDrafts: "test_iteration_yields_each_blob_once_and_no_draft",
    ListsLive: "test_blobs_may_be_deleted_while_they_are_listed",
    SharesThePosition: "test_each_open_blob_has_its_own_position",
    OpensAtTheEnd: "test_an_open_blob_is_seekable_and_stands_at_0",
    OpensLate: "test_an_open_blob_is_read_to_its_end_when_it_is_deleted",
    FindsNothingEmpty: "test_a_missing_blob_is_not_found",
    DeletesNothing: "test_a_deleted_blob_is_gone",
    ContainsAnything: "test_containment_is_asked_of_anything",
    CountsWrong: "test_the_size_is_in_bytes",
    TrustsDigests: "test_what_is_no_digest_is_refused",
}
"""Each with a test that has to fail for it."""
