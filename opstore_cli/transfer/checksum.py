"""The checksum and digests of an upload, which the store compares with those of the bytes it received."""

from typing import Any

from opstore_cli.transfer.source import Source
from opstore_daemon.protocol.checksums import checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, Hash, digest_of, new_hash
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
            piece = self._read(self._end, end)
            self._hash.update(piece)
            self._end += len(piece)

    def digest_of_part(self, start: int, end: int) -> Digest:
        """Return the digest of the bytes from `start` to before `end`, and include them; raises FileRefused.

        Bytes that are not included yet are read once for both.
        """
        self.extend_to(start)
        part, position = new_hash(), start
        while position < end:
            piece = self._read(position, min(end, self._end) if position < self._end else end)
            part.update(piece)
            if position == self._end:
                self._hash.update(piece)
                self._end += len(piece)
            position += len(piece)
        return digest_of(part)

    def _read(self, position: int, end: int) -> memoryview:
        count = self._source.read_into(self._buffer[: end - position], position)
        if not count:
            raise self._source.truncation()
        return self._buffer[:count]

    def declaration(self) -> dict[str, Any]:
        """Return what the client declares of the bytes included so far, as fields of NewVersion."""
        return {"digest": digest_of(self._hash)} if self._is_secure else {"checksum": checksum_of(self._hash)}
