"""One upload whose draft is open, and the writer that appends to it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.checksums import Checksum
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import Draft
from opstore_daemon.savers.receiving import receive
from opstore_daemon.store.ingest.space import Space
from opstore_daemon.store.ingest.trailing_hash import TrailingHash
from opstore_daemon.store.places import POLL


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
    """An upload with its open draft and the hash of its bytes."""

    def __init__(self, upload: str, owner: str, size: int | None, draft: Draft) -> None:
        """`size`: the announced size in bytes, None if unknown."""
        self.upload, self.owner, self.size, self.draft = upload, owner, size, draft
        self.lock = threading.Lock()
        self.closed = False
        self.is_hashing = False  # whoever holds the lock reads many bytes
        self.writer: Writer | None = None
        self.offset_reported = False  # since this draft was opened
        self.refused = False  # a full disk refused its bytes: it takes no more, and ends
        self.hash = TrailingHash(self.read)
        self.hash.advance(draft.offset)

    def read(self, buffer: memoryview, offset: int) -> int:
        """Read bytes of the draft from `offset` into the buffer and return their number."""
        return self.draft.read_at(offset, buffer)

    def record(self) -> records.Upload:
        """Return the record with the current offset."""
        self.offset_reported = True
        return records.Upload(upload=self.upload, offset=self.draft.offset, size=self.size)

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
            if self.writer is None:
                self.close()
            return self.closed
        finally:
            self.lock.release()


class Writer:
    """The right to append to an upload, until another request claims it."""

    def __init__(self, opened: OpenUpload, space: Space, end: Callable[[str], None]) -> None:
        """`end` ends an upload that a full disk refused."""
        self._opened, self._space, self._end = opened, space, end

    def append(self, data: bytes | memoryview) -> None:
        """Append the data; raise UploadNotOpen, TooLarge, StorageFull or StorageFailed, and append nothing.

        After StorageFull the upload takes no more bytes: call `end_if_refused` where waiting is allowed.
        """
        with self._appending(len(data)) as draft, self._space.writing(len(data)):
            draft.append(data)

    def receive(self, source: int, limit: int) -> int:
        """Append what has arrived on the connection with this descriptor, at most `limit` bytes; return their number.

        Raise what `append` does, or OSError (see `savers.receiving`).
        """
        count = min(limit, READ_SIZE)  # more is never moved at once
        with self._appending(limit) as draft, self._space.writing(count, streams=True):
            received = receive(draft, source, count)
        self._space.give_back(count - received)
        return received

    @contextmanager
    def _appending(self, limit: int) -> Iterator[Draft]:
        opened = self._opened
        with opened.try_lock():
            if opened.writer is not self:
                raise errors.UploadNotOpen(upload=opened.upload)
            check_size(opened, opened.draft.offset + limit)
            try:
                yield opened.draft
            except errors.StorageFull as error:
                opened.refused = True
                raise ended(error) from error
            opened.hash.advance(opened.draft.offset)

    def close(self) -> None:
        """Give up the right to append; the bytes so far stay."""
        if self._opened.writer is self:
            self._opened.writer = None
            self._opened.hash.close()

    def end_if_refused(self) -> None:
        """End the upload if a full disk refused its bytes, which frees those that it has. Waits for locks."""
        if self._opened.refused:
            self._end(self._opened.upload)

    def record(self) -> records.Upload:
        """Return the record of the upload with its current offset."""
        return self._opened.record()


def ended(error: errors.StorageFull) -> errors.StorageFull:
    """Return the error, which also says what became of the upload."""
    return errors.StorageFull(reason=f"{error.details['reason']}; the upload has ended, and its bytes are freed")


def check_size(opened: OpenUpload, end: int) -> None:
    """Raise TooLarge if bytes up to the offset `end` are more than the announced size."""
    if opened.size is not None and end > opened.size:
        raise errors.TooLarge(what="the upload", size=end, limit=opened.size)
