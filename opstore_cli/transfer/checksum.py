"""The checksum and digest of an upload, which the daemon compares with those of the bytes it received."""

from typing import Any

from opstore_cli.transfer.source import Source
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import Hash, digest_of, new_hash
from opstore_daemon.protocol.limits import HASH_READ_SIZE


class SourceHash:
    """A hash of a growing prefix of a source that `is_random`; each byte is read only once.

    A checksum unless `secure`: then a digest, which takes ten times as long. Other bytes with the same checksum can be
    constructed, so it can't show that the bytes of an earlier process are those of this source.
    """

    def __init__(self, source: Source, *, secure: bool = False) -> None:
        self._source, self._is_secure = source, secure
        self._hash: Hash = new_hash() if secure else new_sum()
        self._end = 0
        self._buffer = memoryview(bytearray(HASH_READ_SIZE))

    def extend_to(self, end: int) -> None:
        """Include the bytes up to the offset `end`, unless they are included already; raises FileRefused."""
        while self._end < end:
            count = self._source.read_into(self._buffer[: end - self._end], self._end)
            if not count:
                raise self._source.truncation()
            self._hash.update(self._buffer[:count])
            self._end += count

    def declaration(self) -> dict[str, Any]:
        """Return what the client declares of the bytes included so far, as fields of NewVersion."""
        return {"digest": digest_of(self._hash)} if self._is_secure else {"checksum": checksum_of(self._hash)}
