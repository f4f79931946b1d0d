"""Bytes on their way out, checked against their digest once, around any saver."""

import os
from collections.abc import Iterator
from typing import BinaryIO

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import BaseSaver


class BlobReader:
    """The bytes of a blob, in pieces; or, of `part`, those from its first number to before its second.

    A reader of the whole blob gives its last piece away only when all bytes match the digest, so that wrong bytes
    are never handed out as right ones: whoever reads it gets BlobDamaged instead, and too few bytes. One piece is
    read ahead: what fits into it is checked before anything is said. A part of a blob, be it all of it, can't be
    checked here; who asks for one checks the whole.
    """

    def __init__(self, saver: BaseSaver, digest: Digest, size: int, part: tuple[int, int] | None = None) -> None:
        self.digest, self.size = digest, size
        self.start, self.stop = part or (0, size)
        self.remain = self.stop - self.start
        self._hash = new_hash() if part is None else None
        self._file = self._open(saver)
        try:
            self._check_size()
            self._file.seek(self.start)
            self._ahead = self._read() if part is None else b""
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int | None:
        """The open file of which the bytes may be sent as they are, by position; None where they are to be read."""
        if self._hash is not None:
            return None
        try:
            return self._file.fileno()
        except OSError:  # no file of this machine
            return None

    def _open(self, saver: BaseSaver) -> BinaryIO:
        try:
            return saver.open(self.digest)
        except errors.BlobNotFound:
            raise errors.BlobDamaged(digest=self.digest, reason="they are gone") from None

    def _check_size(self) -> None:
        actual = self._file.seek(0, os.SEEK_END)
        if actual != self.size:
            raise errors.BlobDamaged(digest=self.digest, reason=f"{actual} bytes are there, not {self.size}")

    def _read(self) -> bytes:
        piece = self._file.read(min(READ_SIZE, self.remain))
        self.remain -= len(piece)
        if self._hash is not None:
            self._hash.update(piece)
        if not piece and self.remain:
            self._damaged("they ended early")
        if not self.remain and self._hash is not None and digest_of(self._hash) != self.digest:
            self._damaged("their digest is another")
        return piece

    def _damaged(self, reason: str) -> None:
        self.close()
        raise errors.BlobDamaged(digest=self.digest, reason=reason)

    def read_piece(self) -> bytes:
        """The next piece, at most 1 MiB; empty at the end. Raises BlobDamaged."""
        if self._hash is None:
            return self._read()
        piece = self._ahead
        self._ahead = self._read() if self.remain else b""
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read_piece():
            yield piece

    def close(self) -> None:
        """Lets go of the blob."""
        self._file.close()
