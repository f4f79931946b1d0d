"""The digest and checksum of an upload whose bytes can be read only once it is complete."""

from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.store.ingest.upload_hash import UploadHash


class PassingHash(UploadHash):
    """The digest and checksum of bytes that are hashed as they pass.

    Bytes that passed elsewhere, and those behind them, are read back by the first `digest` or `checksum`. So all bytes
    are hashed here once if all of them passed here, in order, and are read back otherwise.
    """

    READ = READ_SIZE

    def feed(self, data: bytes | memoryview) -> None:
        """Hash the bytes, which were accepted behind the others."""
        if self._trusts and self._hashed == self._end:
            self._update(data)
        self._end += len(data)

    def advance(self, end: int) -> None:
        """Announce that there are bytes up to the offset `end`."""
        self._end = end

    def close(self) -> None:
        """Do nothing: it has no thread."""
