"""What tests of collections share: a store whose clock a test moves, removed versions, and what is where."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.digests import Digest, digest_of
from opstore_daemon.savers import FileSaver

WEEK = timedelta(days=7)


class MovedClock:
    """The time of the system, moved by `by`."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


@contextmanager
def store_on_files(folder: Path, clock: MovedClock | None = None) -> Iterator[OpStoreServer]:
    """Open the store in the folder."""
    saver = FileSaver(folder / "blobs")
    with closing(OpStoreServer(saver, f"sqlite:///{folder / 'opstore.db'}", clock=clock)) as server:
        yield server


def remove(server: OpStoreServer, version: str) -> None:
    """Remove a version, whatever needs it."""
    server.store.remove(version if "@" in version else f"{version}@latest", force=True)


def orphan(server: OpStoreServer, data: bytes = b"orphan") -> Digest:
    """Publish a blob that no version has, as a push does that crashes then."""
    digest = digest_of(data)
    server.store.uploads.prepare_small(data, digest)()
    return digest


def trashed(server: OpStoreServer) -> set[Digest]:
    """Return the digests in the trash."""
    return {each.digest for each in server.store.saver.trashed()}
