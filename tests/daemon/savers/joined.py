"""How the two savers of the project join the conformance tests; the broken savers join in the same way."""

from pathlib import Path

import pytest

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver
from opstore_daemon.savers.conformance import SaverConformance
from opstore_daemon.savers.memory import _Blob


class FileSaverJoins(SaverConformance):
    root: Path

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.root = tmp_path / "store"

    def make_saver(self) -> BaseSaver:
        return FileSaver(self.root)

    def reopen(self, saver: BaseSaver) -> BaseSaver:
        return type(saver)(self.root)  # type: ignore[call-arg]

    def raw_read(self, saver: BaseSaver, digest: Digest) -> bytes | None:
        path = blob_path(self.root, digest)
        return path.read_bytes() if path.exists() else None

    def raw_write(self, saver: BaseSaver, digest: Digest, data: bytes) -> None:
        path = blob_path(self.root, digest)
        path.chmod(0o600)
        path.write_bytes(data)

    def leftovers(self, saver: BaseSaver) -> int:
        names = (path for path in self.root.rglob("*") if path.parent.name != "quarantine")
        files = sum(path.is_symlink() or not path.is_dir() for path in names)
        return files - len(list(saver)) - len(list(saver.drafts())) - len(list(saver.trashed()))


class MemorySaverJoins(SaverConformance):
    def make_saver(self) -> BaseSaver:
        return MemorySaver()

    def reopen(self, saver: BaseSaver) -> BaseSaver:
        return saver  # it lasts as long as the object does

    def raw_read(self, saver: BaseSaver, digest: Digest) -> bytes | None:
        assert isinstance(saver, MemorySaver)
        blob = saver._blobs.get(digest)
        return None if blob is None else bytes(blob.data)

    def raw_write(self, saver: BaseSaver, digest: Digest, data: bytes) -> None:
        assert isinstance(saver, MemorySaver)
        saver._blobs[digest] = _Blob(data, 1.0)

    def leftovers(self, saver: BaseSaver) -> int:
        return 0  # it has nothing but its dictionaries


def blob_path(root: Path, digest: Digest) -> Path:
    """Return the path of the blob in the layout that the saver promises."""
    return root / "blobs" / digest.hex[:2] / digest.hex
