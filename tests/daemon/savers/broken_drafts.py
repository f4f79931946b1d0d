"""Savers whose drafts are broken on purpose, each in a way that somebody will get wrong one day."""

import os
import shutil
from collections.abc import Callable
from contextlib import closing

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import BaseSaver, Draft, FileSaver, MemorySaver
from opstore_daemon.savers.file_draft import FileDraft
from opstore_daemon.savers.memory import MemoryDraft, _Blob, _Staged


class BrokenDraft(MemoryDraft):
    """A working draft for subclasses to break."""

    def __init__(self, saver: MemorySaver, upload: str) -> None:
        super().__init__(saver, upload, saver._staging[upload])


class BrokenSaver(MemorySaver):
    """A working saver for subclasses to break, through another `draft_class`."""

    draft_class: type[BrokenDraft] = BrokenDraft

    def draft(self, upload: str) -> Draft:
        super().draft(upload)
        return self.draft_class(self, upload)


class PublishesWhatItHas(BrokenSaver):
    """Shows bytes as soon as they come in."""

    class draft_class(BrokenDraft):  # noqa: N801
        def append(self, data: bytes | bytearray | memoryview) -> None:
            super().append(data)
            so_far = bytes(self._staged.data)
            self._saver._blobs[digest_of(so_far)] = _Blob(so_far, 1.0)


class ForgetsOnClose(BrokenSaver):
    """Loses a draft with its object."""

    class draft_class(BrokenDraft):  # noqa: N801
        def close(self) -> None:
            super().close()
            if not self._staged.sealed:
                self._saver._staging[self._upload] = _Staged()


class BeginsAnew(BrokenSaver):
    """Starts over when a draft is reopened."""

    def draft(self, upload: str) -> Draft:
        super().draft(upload)
        self._staging[upload] = _Staged()
        return BrokenDraft(self, upload)


class LendsTheBuffer(BrokenSaver):
    """Stores the caller's buffer instead of its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.lent: dict[str, list[bytes | bytearray | memoryview]] = {}

    class draft_class(BrokenDraft):  # noqa: N801
        def append(self, data: bytes | bytearray | memoryview) -> None:
            assert isinstance(self._saver, LendsTheBuffer)
            super().append(data)
            self._saver.lent.setdefault(self._upload, []).append(data)

        def read_at(self, offset: int, buffer: memoryview) -> int:
            assert isinstance(self._saver, LendsTheBuffer)
            data = b"".join(map(bytes, self._saver.lent.get(self._upload, [])))[offset : offset + len(buffer)]
            buffer[: len(data)] = data
            return len(data)


class LooksByOpening(BrokenSaver):
    """Creates a draft in order to report its size."""

    def staged_size(self, upload: str) -> int:
        return self.draft(upload).offset


class CountsItsHeader(BrokenSaver):
    """Reports the offset in its file instead of in the bytes."""

    class draft_class(BrokenDraft):  # noqa: N801
        @property
        def offset(self) -> int:
            return 8 + len(self._staged.data)


class ReadsFromTheStart(BrokenSaver):
    """Reads on from its last position, whatever the offset."""

    class draft_class(BrokenDraft):  # noqa: N801
        read = 0

        def read_at(self, offset: int, buffer: memoryview) -> int:
            count = super().read_at(self.read, buffer)
            self.read += count
            return count


class ReadsOnceThatIsWritten(BrokenSaver):
    """Can't read the end of the latest append yet."""

    class draft_class(BrokenDraft):  # noqa: N801
        def read_at(self, offset: int, buffer: memoryview) -> int:
            return super().read_at(offset, buffer) if offset + len(buffer) < len(self._staged.data) else 0


class ReceivesAll(BrokenSaver):
    """Receives what follows the body, too."""

    class draft_class(BrokenDraft):  # noqa: N801
        def receive(self, source: int, _limit: int) -> int:
            data = os.read(source, READ_SIZE)
            self.append(data)
            return len(data)


class WaitsForTheWhole(BrokenSaver):
    """Waits until it has received as much as was asked for."""

    class draft_class(BrokenDraft):  # noqa: N801
        def receive(self, source: int, limit: int) -> int:
            data = b""
            while len(data) < limit and (more := os.read(source, limit - len(data))):
                data += more
            self.append(data)
            return len(data)


class ForgetsWhereItReceives(BrokenSaver):
    """Stores received bytes at the wrong offset."""

    class draft_class(BrokenDraft):  # noqa: N801
        def receive(self, source: int, limit: int) -> int:
            data = os.read(source, min(limit, READ_SIZE))
            self._staged.data[:0] = data
            return len(data)


class OneDraftForAll(BrokenSaver):
    """Shares one draft between all uploads."""

    def draft(self, upload: str) -> Draft:
        first = next(iter(self._staging.values()), _Staged())
        self._staging.setdefault(upload, first)
        return super().draft(upload)


class NeverCloses(BrokenSaver):
    class draft_class(BrokenDraft):  # noqa: N801
        def _check_open(self) -> None:
            pass


class PublishesOnce(BrokenSaver):
    """Uses up the draft by its publish, as a rename would."""

    class draft_class(BrokenDraft):  # noqa: N801
        def publish(self, digest: Digest) -> None:
            super().publish(digest)
            self._saver.discard(self._upload)


class StaysOpen(BrokenSaver):
    """Lets a published draft grow, and with it the blob."""

    class draft_class(BrokenDraft):  # noqa: N801
        def append(self, data: bytes | bytearray | memoryview) -> None:
            self._check_open()
            self._staged.data += data


class PublishesWhatWasDiscarded(BrokenSaver):
    class draft_class(BrokenDraft):  # noqa: N801
        def publish(self, digest: Digest) -> None:
            self._check_open()
            self._staged.sealed = True
            self._saver._blobs[Digest.parse(digest)] = _Blob(bytes(self._staged.data), 1.0)


class TrustsNames(FileSaver):
    """Makes a path of any name."""

    def draft(self, upload: str) -> Draft:
        path = self._staging / (upload.strip("./") or "empty")
        return FileDraft(self._directory, path, os.open(path, os.O_RDWR | os.O_CREAT, 0o600), self._pipes)

    def discard(self, upload: str) -> None:
        (self._staging / (upload.strip("./") or "empty")).unlink(missing_ok=True)


class LeavesACopy(FileSaver):
    """Forgets to delete a part of what it staged."""

    def discard(self, upload: str) -> None:
        path = self._staging / upload
        if path.exists():
            shutil.copyfile(path, path.with_suffix(".old"))
        super().discard(upload)


class RemembersDiscarded(BrokenSaver):
    """Removes a discarded draft from the list but keeps its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.discarded: dict[str, _Staged] = {}

    def discard(self, upload: str) -> None:
        staged = self._staging.get(upload)
        super().discard(upload)
        if staged is not None and not staged.sealed:
            self.discarded[upload] = staged

    def draft(self, upload: str) -> Draft:
        if upload in self.discarded:
            self._staging[upload] = self.discarded.pop(upload)
        return super().draft(upload)


class StoresAtTheClose(BrokenSaver):
    """Keeps in memory what was flushed, until it is closed."""

    class draft_class(BrokenDraft):  # noqa: N801
        def __init__(self, saver: MemorySaver, upload: str) -> None:
            super().__init__(saver, upload)
            self._kept = self._staged
            self._staged = _Staged(bytearray(self._kept.data), self._kept.sealed)

        def _store(self) -> None:
            self._kept.data[:], self._kept.sealed = self._staged.data, self._staged.sealed

        def publish(self, digest: Digest) -> None:
            self._check_open()
            self._store()
            self._saver._publish(self._upload, self._kept, Digest.parse(digest))
            self._staged.sealed = True

        def close(self) -> None:
            if not self._closed:
                self._store()
            super().close()


class GrowsWhenSealed(BrokenSaver):
    """Takes bytes after a seal, as long as nothing is published."""

    class draft_class(BrokenDraft):  # noqa: N801
        def seal(self) -> None:
            self._check_open()


class TrustsTheAnnouncedSize(BrokenSaver):
    """Refuses bytes beyond the announced size."""

    class draft_class(BrokenDraft):  # noqa: N801
        size: int | None = None

        def expect(self, size: int | None) -> None:
            self.size = size

        def append(self, data: bytes | bytearray | memoryview) -> None:
            if self.size is not None and self.offset + len(data) > self.size:
                raise errors.StorageFailed(reason="there are more bytes than were announced")
            super().append(data)


class CallsTwice(BrokenSaver):
    """Calls back at once and once more when it is used."""

    class draft_class(BrokenDraft):  # noqa: N801
        def when_ready(self, call: Callable[[], None]) -> None:
            call()
            call()


class LeavesTheDraftOfAPut(BrokenSaver):
    """Keeps the draft that a small blob went through."""

    def put(self, data: bytes, digest: Digest, upload: str) -> None:
        with closing(self.draft(upload)) as draft:
            draft.append(data)
            draft.publish(digest)


SABOTEURS: dict[type[BaseSaver], str] = {
    PublishesWhatItHas: "test_nothing_is_visible_before_it_is_published",
    ForgetsOnClose: "test_a_closed_draft_is_reopened_at_its_offset",
    BeginsAnew: "test_a_draft_is_reopened_after_a_restart",
    LendsTheBuffer: "test_the_caller_may_reuse_the_buffer_after_an_append",
    LooksByOpening: "test_staged_size_counts_stored_bytes_and_creates_no_draft",
    CountsItsHeader: "test_each_append_moves_the_offset_by_its_length",
    ReadsFromTheStart: "test_reading_fills_a_buffer_from_any_offset_and_moves_nothing",
    ReadsOnceThatIsWritten: "test_bytes_are_read_while_others_are_appended",
    ReceivesAll: "test_no_more_is_received_than_was_asked_for",
    WaitsForTheWhole: "test_received_bytes_are_stored_like_appended_ones",
    ForgetsWhereItReceives: "test_received_bytes_are_stored_like_appended_ones",
    OneDraftForAll: "test_drafts_of_two_uploads_do_not_mix",
    NeverCloses: "test_a_closed_draft_takes_nothing",
    PublishesOnce: "test_a_published_draft_stays_until_it_is_discarded",
    StaysOpen: "test_nothing_is_appended_after_a_publish",
    PublishesWhatWasDiscarded: "test_a_draft_that_was_discarded_while_open_publishes_nothing",
    TrustsNames: "test_an_invalid_upload_id_is_refused",
    LeavesACopy: "test_discarding_the_draft_keeps_the_blob",
    StoresAtTheClose: "test_flushed_bytes_need_no_close",
    GrowsWhenSealed: "test_a_sealed_draft_is_read_and_takes_no_bytes",
    TrustsTheAnnouncedSize: "test_an_announced_size_is_only_a_hint",
    CallsTwice: "test_a_draft_calls_once_when_it_is_ready",
    LeavesTheDraftOfAPut: "test_bytes_in_memory_become_a_blob_and_leave_no_draft",
    RemembersDiscarded: "test_a_discarded_draft_begins_at_0_again",
}
"""Each with a test that has to fail for it."""
