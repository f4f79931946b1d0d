"""The checksum of an upload, which the daemon compares with that of the bytes it received."""

from opstore_cli.transfer.source import Source
from opstore_daemon.protocol.checksums import Checksum, checksum_of, new_sum
from opstore_daemon.protocol.limits import HASH_READ_SIZE


class SourceChecksum:
    """The checksum of a growing prefix of a source that `is_random`; each byte is read only once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sum, self._end = new_sum(), 0
        self._buffer = memoryview(bytearray(HASH_READ_SIZE))

    def extend_to(self, end: int) -> None:
        """Include the bytes up to the offset `end`, unless they are included already; raises FileRefused."""
        while self._end < end:
            count = self._source.read_into(self._buffer[: end - self._end], self._end)
            if not count:
                raise self._source.truncation()
            self._sum.update(self._buffer[:count])
            self._end += count

    def checksum(self) -> Checksum:
        """Return the checksum of the bytes included so far."""
        return checksum_of(self._sum)
