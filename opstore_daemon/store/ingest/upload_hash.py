"""The digest and checksum of the bytes of an upload: what both ways of computing them share."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from opstore_daemon.protocol.checksums import Checksum, checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash


class UploadHash(ABC):
    """The digest and checksum of bytes that arrive in order; those that are not hashed yet are read back at the end."""

    READ: ClassVar[int]
    """The most bytes that one read returns."""

    def __init__(self, read: Callable[[memoryview, int], int]) -> None:
        """`read` fills a buffer with bytes from an offset on and returns their number, at least 1."""
        self._read = read
        self._hash, self._sum = new_hash(), new_sum()
        self._hashed = self._end = 0
        self._trusts = True  # that the bytes that `feed` is given are those that can be read

    @property
    def lag(self) -> int:
        """How many bytes are not hashed yet."""
        return self._end - self._hashed

    @property
    def hashed(self) -> int:
        """How many bytes are hashed."""
        return self._hashed

    @abstractmethod
    def feed(self, data: bytes | memoryview) -> None:
        """Take the bytes that were accepted behind the others."""

    @abstractmethod
    def advance(self, end: int) -> None:
        """Announce that there are bytes up to the offset `end`."""

    def distrust(self) -> None:
        """Read the bytes from here on back, whatever `feed` is given: they may be overwritten by others."""
        self._trusts = False

    @abstractmethod
    def close(self) -> None:
        """Stop what runs in the background. `advance` may start it again."""

    def digest(self) -> Digest:
        """Return the digest of all bytes so far; raise what `read` raises."""
        self._catch_up()
        return digest_of(self._hash)

    def checksum(self) -> Checksum:
        """Return the checksum of all bytes so far; raise what `read` raises."""
        self._catch_up()
        return checksum_of(self._sum)

    def _catch_up(self) -> None:
        self.close()
        if self._hashed < self._end:
            buffer = memoryview(bytearray(min(self.READ, self._end - self._hashed)))
            while self._hashed < self._end:
                self._step(buffer)

    def _step(self, buffer: memoryview) -> None:
        count = self._read(buffer[: self._end - self._hashed], self._hashed)
        self._update(buffer[:count])

    def _update(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._sum.update(data)
        self._hashed += len(data)
