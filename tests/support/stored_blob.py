"""The stored bytes of a blob, wherever the store of a test is, behind the back of its daemon."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.object_store.keys import object_name
from tests.support.damage import blob_path

if TYPE_CHECKING:
    from opstore_daemon.savers import S3Saver


class StoredBlob(ABC):
    """A file or an object that has the bytes of a blob."""

    @abstractmethod
    def read(self) -> bytes:
        """Return the bytes."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Replace the bytes."""

    @abstractmethod
    def delete(self) -> None:
        """Delete the file or the object."""


class BlobInFile(StoredBlob):
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes:
        return self._path.read_bytes()

    def write(self, data: bytes) -> None:
        if self._path.exists():
            self._path.chmod(0o600)
        self._path.write_bytes(data)

    def delete(self) -> None:
        self._path.unlink()


class BlobInObject(StoredBlob):
    """The object that the database has for the digest now."""

    def __init__(self, saver: "S3Saver", digest: Digest) -> None:
        found = saver._records.blob(digest)
        assert found is not None
        self._bucket, self._name = saver.bucket, object_name(found.key)

    def read(self) -> bytes:
        return self._bucket.s3.get_object(**self._bucket._at(self._name))["Body"].read()

    def write(self, data: bytes) -> None:
        self._bucket.s3.put_object(**self._bucket._at(self._name), Body=data)

    def delete(self) -> None:
        self._bucket.s3.delete_object(**self._bucket._at(self._name))


def stored_blob(server: OpStoreServer, digest: Digest) -> StoredBlob:
    """Return the stored bytes of the blob."""
    saver = server.store.saver
    if isinstance(saver, FileSaver):
        return BlobInFile(blob_path(saver.root, digest))
    from opstore_daemon.savers import S3Saver

    assert isinstance(saver, S3Saver)
    return BlobInObject(saver, digest)


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


# Each takes a blob, and another one of the same size. `KINDS` of tests.support.damage has what fsck calls them.
DAMAGES: dict[str, Callable[[StoredBlob, StoredBlob], None]] = {
    "a bit": lambda blob, _: blob.write(_flip(blob.read())),
    "short": lambda blob, _: blob.write(blob.read()[:-1]),
    "empty": lambda blob, _: blob.write(b""),
    "gone": lambda blob, _: blob.delete(),
    "swapped": lambda blob, other: blob.write(other.read()),
}
