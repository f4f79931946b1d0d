"""Read a blob from any saver, and verify its digest on the way."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import BaseSaver

READ_AHEAD = 16 * 1024 * 1024  # bytes that all readers together hold, before they read pieces of MIN_PIECE
MIN_PIECE = 32 * 1024


class _ReadAhead:
    """The bytes that all readers of this process hold: the more they are, the smaller is the next piece.

    A reader holds two pieces for as long as its client reads nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.held = 0

    def piece_size(self) -> int:
        return max(MIN_PIECE, min(READ_SIZE, (READ_AHEAD - self.held) // 8))

    def change(self, count: int) -> None:
        with self._lock:
            self.held += count


read_ahead = _ReadAhead()


class BlobReader:
    """The bytes of a blob in pieces of at most READ_SIZE bytes, or those of `part` = (start, stop).

    A reader of the whole blob holds back its last piece until all bytes match the digest. If they do not, it raises
    BlobDamaged, and its consumer has fewer bytes than `size`: damaged bytes never look complete. It reads one
    piece ahead, so a blob of one piece is verified when the reader is created. A part is not verified, even if it is
    the whole blob: a client that requests parts verifies the sum of them.
    """

    def __init__(self, saver: BaseSaver, digest: Digest, size: int, part: tuple[int, int] | None = None) -> None:
        self._saver, self.digest, self.size = saver, digest, size
        self.start, self.stop = part or (0, size)
        self.remain = self.stop - self.start
        self._hash = new_hash() if part is None else None
        self._file = self._open()
        self._held = 0  # bytes of the last two pieces
        try:
            self._check_size()
            self._file.seek(self.start)
            self._ahead = self._read() if part is None else b""
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int | None:
        """The open file whose bytes may be sent unverified; None if they must be verified or are not in a file."""
        if self._hash is not None:
            return None
        try:
            return self._file.fileno()
        except OSError:  # the saver's bytes are not in a file of this machine
            return None

    def _open(self) -> BinaryIO:
        try:
            return self._saver.open(self.digest)
        except errors.BlobNotFound:
            raise errors.BlobDamaged(digest=self.digest, reason="they are missing") from None
        except errors.StorageFailed as failure:
            # Something else may be in the place of the blob.
            with suppress(errors.Unavailable, errors.BlobNotFound):
                found = self._saver.examine(self.digest)
                if found.is_other:
                    raise errors.BlobDamaged(digest=self.digest, reason=found.problem) from failure
            raise

    def _check_size(self) -> None:
        actual = self._file.seek(0, os.SEEK_END)
        if actual != self.size:
            raise errors.BlobDamaged(digest=self.digest, reason=f"{actual} bytes instead of {self.size}")

    def _read(self) -> bytes:
        try:
            piece = self._file.read(min(read_ahead.piece_size(), self.remain))
        except errors.ObjectStoreFailed:
            raise
        except errors.StorageFailed:
            if self._is_gone():
                self._fail("they are missing")
            raise
        self.remain -= len(piece)
        self._hold(self._held + len(piece))
        if self._hash is not None:
            self._hash.update(piece)
        if not piece and self.remain:
            self._fail("they ended early")
        if not self.remain and self._hash is not None and digest_of(self._hash) != self.digest:
            self._fail("their digest is different")
        return piece

    def _is_gone(self) -> bool:
        """Return whether the blob has no bytes, which an object store reports only when they are read."""
        try:
            self._saver.examine(self.digest)
        except errors.BlobNotFound:
            return True
        except errors.Unavailable:
            return False
        return False

    def _fail(self, reason: str) -> None:
        self.close()
        raise errors.BlobDamaged(digest=self.digest, reason=reason)

    def seek(self, offset: int) -> None:
        """Continue a part at `offset`, from the start of the blob. Raises StorageFailed."""
        self._file.seek(offset)
        self.remain = self.stop - offset

    def read_piece(self) -> bytes:
        """Return the next piece; b"" at the end. Raise BlobDamaged if the bytes do not match the digest."""
        self._hold(len(self._ahead))  # the piece that was returned last is sent
        if self._hash is None:
            return self._read()
        piece = self._ahead
        self._ahead = self._read() if self.remain else b""
        return piece

    def _hold(self, count: int) -> None:
        read_ahead.change(count - self._held)
        self._held = count

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read_piece():
            yield piece

    def close(self) -> None:
        """Close the blob's file."""
        self._hold(0)
        self._file.close()
