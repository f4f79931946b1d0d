"""One upload whose draft is open in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.checksums import Checksum
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.base import BytesLost, Draft
from opstore_daemon.savers.direct import DirectDraft
from opstore_daemon.savers.object_records import DraftTaken
from opstore_daemon.store.ingest.passing_hash import PassingHash
from opstore_daemon.store.ingest.trailing_hash import TrailingHash
from opstore_daemon.store.ingest.upload_hash import UploadHash
from opstore_daemon.store.places import POLL

DIRECT_FROM = 16 * 1024 * 1024  # bytes that are left from which parts past the daemon are worth their requests


@dataclass(frozen=True)
class Declaration:
    """What a client declares about bytes before they are stored; None: not declared. `size` in bytes."""

    digest: Digest | None = None
    checksum: Checksum | None = None
    size: int | None = None

    def verify(self, digest: Digest, checksum: Checksum, size: int) -> None:
        """Raise SizeMismatch, DigestMismatch or ChecksumMismatch if the bytes that arrived are different."""
        if self.size not in (None, size):
            raise errors.SizeMismatch(actual=size, expected=self.size)
        if self.digest not in (None, digest):
            raise errors.DigestMismatch(actual=digest, expected=self.digest)
        if self.checksum not in (None, checksum):
            raise errors.ChecksumMismatch(actual=checksum, expected=self.checksum)


class OpenUpload:
    """An upload with its open draft and the hash of its bytes.

    Another daemon may take the draft over. Whoever notices that closes this one, and the next request opens the draft
    again, which takes it over in turn.
    """

    def __init__(self, upload: str, owner: str, size: int | None, draft: Draft) -> None:
        """`size`: the announced size in bytes, None if unknown."""
        self.upload, self.owner, self.size, self.draft = upload, owner, size, draft
        self.lock = threading.Lock()
        self.closed = False
        self.is_hashing = False  # whoever holds the lock reads many bytes
        self.writer: object | None = None  # whoever may append (ingest.writer)
        self.is_unstored = False  # the draft may have bytes in memory, which no other daemon would find
        self.offset_reported = False  # since this draft was opened
        self.ending: errors.OpStoreError | None = None  # which ends long reads of its bytes: others wait for the lock
        self.refused = False  # a full disk refused its bytes: it takes no more, and ends
        draft.expect(size)
        self.direct = draft if isinstance(draft, DirectDraft) else None
        self.hash = self._new_hash()
        self.hash.advance(draft.offset)

    def _new_hash(self) -> UploadHash:
        if not self.draft.needs_seal:
            return TrailingHash(self.read)
        hashed = PassingHash(self.read)
        if self.direct is not None and self.direct.has_urls:
            hashed.distrust()
        return hashed

    def read(self, buffer: memoryview, offset: int) -> int:
        """Read bytes of the draft from `offset` into the buffer and return their number; raise `ending`."""
        if self.ending is not None:
            raise self.ending
        return self.draft.read_at(offset, buffer)

    @contextmanager
    def storing(self) -> Iterator[Draft]:
        """Use the draft in the context, with the lock; close it if it can't be used any more.

        Raises UploadNotOpen if another daemon has taken the draft over, and BytesLost.
        """
        try:
            yield self.draft
        except DraftTaken:
            self.close()
            raise errors.UploadNotOpen(upload=self.upload) from None
        except BytesLost:
            self.close()
            raise
        except errors.Unavailable:
            if self.draft.needs_seal:  # what it had accepted may be lost: the next draft has what is stored
                self.close()
            raise

    def store(self) -> None:
        """Store the bytes that were accepted, with the lock: before an offset is reported. Raises as `storing`."""
        if self.is_unstored:
            with self.storing() as draft:
                draft.flush()
            self.is_unstored = False

    def record(self) -> records.Upload:
        """Return the record with the current offset, which is that of stored bytes: call `store` first."""
        self.offset_reported = True
        part_size = offered_part_size(self)
        return records.Upload(upload=self.upload, offset=self.draft.offset, size=self.size, part_size=part_size)

    @contextmanager
    def try_lock(self) -> Iterator[None]:
        """Hold the lock; raise UploadNotOpen if another thread holds it, to claim or finish the upload.

        Appends come from the event loop that serves all connections, so they must not wait.
        """
        if not self.lock.acquire(blocking=False):
            raise errors.UploadNotOpen(upload=self.upload)
        try:
            if self.closed:
                raise errors.UploadNotOpen(upload=self.upload)
            self.check_not_refused()
            yield
        finally:
            self.lock.release()

    def acquire_unless_hashing(self) -> bool:
        """Acquire the lock; return False instead if whoever holds it reads many bytes."""
        while not self.is_hashing:
            if self.lock.acquire(timeout=POLL):
                return True
        return False

    def not_verified(self) -> errors.NotVerified:
        """Return the error for a request that can't wait until all bytes are read."""
        return errors.NotVerified(upload=self.upload, verified=self.hash.hashed, size=self.draft.offset)

    def check_not_refused(self) -> None:
        """Raise UploadNotFound if a full disk refused its bytes."""
        if self.refused:
            raise errors.UploadNotFound(upload=self.upload)

    def close(self) -> None:
        """Close the draft; the caller holds the lock."""
        self.writer, self.closed = None, True
        self.hash.close()
        self.draft.close()

    def close_if_idle(self) -> bool:
        """Close the draft if the lock is free and there is no writer; return whether it is closed."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self.writer is None and not self.is_unstored:
                self.close()
            return self.closed
        finally:
            self.lock.release()


def offered_part_size(opened: OpenUpload) -> int | None:
    """Return the size of the parts that a client should send past the daemon; None if it is not worth it, or can't."""
    left = 0 if opened.size is None else opened.size - opened.draft.offset
    return None if opened.direct is None or left < DIRECT_FROM else opened.direct.part_size


def check_size(opened: OpenUpload, end: int) -> None:
    """Raise TooLarge if bytes up to the offset `end` are more than the announced size."""
    if opened.size is not None and end > opened.size:
        raise errors.TooLarge(what="the upload", size=end, limit=opened.size)
