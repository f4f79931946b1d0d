"""One upload whose staging file is open, and the writer that appends to it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opstore_daemon.protocol import errors, records
from opstore_daemon.protocol.checksums import Checksum
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import Draft
from opstore_daemon.store.ingest.trailing_hash import TrailingHash


@dataclass(frozen=True)
class Declared:
    """What is known of bytes before they are stored; None is not known."""

    digest: Digest | None = None
    checksum: Checksum | None = None
    size: int | None = None

    def check(self, digest: Digest, checksum: Checksum, size: int) -> None:
        """Raises SizeMismatch, DigestMismatch or ChecksumMismatch where the bytes are others."""
        if self.size not in (None, size):
            raise errors.SizeMismatch(actual=size, expected=self.size)
        if self.digest not in (None, digest):
            raise errors.DigestMismatch(actual=digest, expected=self.digest)
        if self.checksum not in (None, checksum):
            raise errors.ChecksumMismatch(actual=checksum, expected=self.checksum)


class OpenUpload:
    """An upload whose draft is at hand, with the hash that follows its bytes."""

    def __init__(self, upload: str, owner: str, size: int | None, draft: Draft) -> None:
        self.upload, self.owner, self.size, self.draft = upload, owner, size, draft
        self.lock = threading.Lock()
        self.closed = False
        self.writer: Writer | None = None
        self.told = False  # whether anybody was told how far it is, since it was opened
        self.hash = TrailingHash(self.read)
        self.hash.reach(draft.offset)

    def read(self, buffer: memoryview, offset: int) -> int:
        """Fills the buffer with what was kept from there on, and says how many bytes those were."""
        return self.draft.read_at(offset, buffer)

    def record(self) -> records.Upload:
        self.told = True
        return records.Upload(upload=self.upload, offset=self.draft.offset, size=self.size)

    @contextmanager
    def try_lock(self) -> Iterator[None]:
        """Holds the lock without ever waiting for it: appends come from a loop that serves everybody.

        Whoever holds it has taken the upload over, or is finishing it.
        """
        if not self.lock.acquire(blocking=False):
            raise errors.UploadNotOpen(upload=self.upload)
        try:
            if self.closed:
                raise errors.UploadNotOpen(upload=self.upload)
            yield
        finally:
            self.lock.release()

    def close(self) -> None:
        """Lets go of the file; by whoever holds the lock."""
        self.writer, self.closed = None, True
        self.hash.close()
        self.draft.close()

    def close_if_idle(self) -> bool:
        """The same, unless somebody is at it."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self.writer is None:
                self.close()
            return self.closed
        finally:
            self.lock.release()


class Writer:
    """The one that may append to an upload, until somebody asks for the offset again."""

    def __init__(self, opened: OpenUpload) -> None:
        self._open = opened

    def append(self, data: bytes | memoryview) -> None:
        """Keeps the bytes behind those before; raises UploadNotOpen, TooLarge, StorageFull or StorageFailed."""
        with self._appending(len(data)) as draft:
            draft.append(data)

    def receive(self, source: socket.socket, most: int) -> int:
        """The same, of what has come to a connection: how many bytes (savers.Draft)."""
        with self._appending(most) as draft:
            return draft.receive(source, most)

    @contextmanager
    def _appending(self, at_most: int) -> Iterator[Draft]:
        held = self._open
        with held.try_lock():
            if held.writer is not self:
                raise errors.UploadNotOpen(upload=held.upload)
            check_size(held, held.draft.offset + at_most)
            yield held.draft
            held.hash.reach(held.draft.offset)

    def close(self) -> None:
        """The bytes so far stay; the next append needs a new writer."""
        if self._open.writer is self:
            self._open.writer = None
            self._open.hash.close()

    def record(self) -> records.Upload:
        """How far the upload is."""
        return self._open.record()


def check_size(held: OpenUpload, end: int) -> None:
    if held.size is not None and end > held.size:
        raise errors.TooLarge(what="the upload", size=end, limit=held.size)
