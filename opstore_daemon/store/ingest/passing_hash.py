"""The digest and checksum of an upload whose bytes can be read only once it is complete."""

from collections.abc import Callable

from opstore_daemon.protocol.checksums import Checksum, checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash
from opstore_daemon.protocol.limits import READ_SIZE


class PassingHash:
    """The digest and checksum of bytes that are hashed as they pass, with the interface of TrailingHash.

    Bytes that passed elsewhere, and those behind them, are read back by the first `digest` or `checksum`. So all bytes
    are hashed here once if all of them passed here, in order, and are read back otherwise.
    """

    def __init__(self, read: Callable[[memoryview, int], int]) -> None:
        """`read` fills a buffer with bytes from an offset on and returns their number, at least 1."""
        self._read = read
        self._hash, self._sum = new_hash(), new_sum()
        self._hashed = self._end = 0

    @property
    def lag(self) -> int:
        """How many bytes are not hashed yet."""
        return self._end - self._hashed

    def feed(self, data: bytes | memoryview) -> None:
        """Hash the bytes, which were accepted behind the others."""
        if self._hashed == self._end:
            self._update(data)
        self._end += len(data)

    def advance(self, end: int) -> None:
        """Announce that there are bytes up to the offset `end`."""
        self._end = end

    def digest(self) -> Digest:
        """Return the digest of all bytes so far; raise what `read` raises."""
        self._catch_up()
        return digest_of(self._hash)

    def checksum(self) -> Checksum:
        """Return the checksum of all bytes so far; raise what `read` raises."""
        self._catch_up()
        return checksum_of(self._sum)

    def _catch_up(self) -> None:
        if self._hashed < self._end:
            buffer = memoryview(bytearray(min(READ_SIZE, self._end - self._hashed)))
            while self._hashed < self._end:
                count = self._read(buffer[: self._end - self._hashed], self._hashed)
                self._update(buffer[:count])

    def _update(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._sum.update(data)
        self._hashed += len(data)

    def close(self) -> None:
        """Do nothing: it has no thread."""
