"""The digest and checksum of a sealed upload that this process has verified before."""

from typing import NamedTuple

from opstore_daemon.protocol.checksums import Checksum
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.store.ingest.upload_hash import UploadHash


class Verified(NamedTuple):
    """The digest and the checksum of all bytes of an upload."""

    digest: Digest
    checksum: Checksum


class KnownHash(UploadHash):
    """The hash of bytes that nobody can change: a sealed draft takes no more."""

    READ = READ_SIZE

    def __init__(self, verified: Verified) -> None:
        super().__init__(_refuse)
        self._verified = verified

    @property
    def lag(self) -> int:
        return 0

    def feed(self, data: bytes | memoryview) -> None:
        """Do nothing: the draft refuses the bytes."""

    def advance(self, end: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def digest(self) -> Digest:
        return self._verified.digest

    def checksum(self) -> Checksum:
        return self._verified.checksum


def _refuse(buffer: memoryview, offset: int) -> int:
    raise AssertionError(f"nothing is read: {len(buffer)} bytes at {offset}")
