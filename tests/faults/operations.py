"""The operations that have faults: what they find, what they do, and what they have to leave.

Most run through the Python client and the WSGI application of an open store, in one process with one thread, so that
the n-th call of a run is the n-th call of every run.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from opstore_daemon import OpStoreServer, config, daemon
from opstore_daemon.metadata.tables import Upload
from opstore_daemon.protocol import errors
from opstore_daemon.savers import FileSaver
from tests.support.in_process import InProcessClient
from tests.support.released import Released

SMALL = b"small bytes"
LARGE = bytes(range(256)) * 5000  # more than a small push: an upload

Work = Callable[[InProcessClient, Path], Any]
Run = Callable[[], Any]


def open_home(home: Path) -> OpStoreServer:
    """Open the store of the home, as a daemon that starts does."""
    return OpStoreServer(FileSaver(home / "blobs"), f"sqlite:///{home / 'opstore.db'}", token="t" * 32, home=home)


def versions(server: OpStoreServer) -> Any:
    """Return all versions with their tags, after a pull of those that have bytes."""
    found = [version for op in server.store.ops() for version in server.store.versions(op.name).versions]
    for version in found:
        if version.digest is not None:
            server.store.pull(f"{version.op}@{version.version}")
    return [[version.op, version.version, version.sequence, list(version.tags)] for version in found]


class Operation(ABC):
    """An operation on a home.

    `calls`: how many calls that change something strace, or patches, see at the least; fewer would mean that they have
    become blind.
    """

    calls: tuple[int, int]

    @abstractmethod
    def make(self, home: Path) -> None:
        """Make the home that it finds."""

    @abstractmethod
    def opened(self, home: Path) -> AbstractContextManager[tuple[Run, Run]]:
        """Prepare it; yield the operation, and what returns the state, which a repetition has to leave the same."""


@dataclass(frozen=True)
class OnOpenStore(Operation):
    """An operation on a store that is open before it begins, and stays open."""

    before: Work
    work: Work
    calls: tuple[int, int]
    state: Callable[[OpStoreServer], Any] = versions
    once_open: Callable[[OpStoreServer, Path], None] = lambda server, home: None

    def make(self, home: Path) -> None:
        with closing(open_home(home)) as server:
            self.before(InProcessClient(server), home)

    @contextmanager
    def opened(self, home: Path) -> Iterator[tuple[Run, Run]]:
        with closing(open_home(home)) as server:
            self.once_open(server, home)
            client = InProcessClient(server)
            yield lambda: self.work(client, home), lambda: self.state(server)


@dataclass(frozen=True)
class OnHome(Operation):
    """An operation on the files of a home that no daemon has open."""

    before: Callable[[Path], Any]
    work: Callable[[Path], Any]
    calls: tuple[int, int]

    def make(self, home: Path) -> None:
        self.before(home)

    @contextmanager
    def opened(self, home: Path) -> Iterator[tuple[Run, Run]]:
        yield lambda: self.work(home), lambda: self._state(home)

    @staticmethod
    def _state(home: Path) -> Any:
        with closing(open_home(home)) as server:
            return versions(server)


def make_home(name: str, home: Path) -> None:
    """Make the home that the operation finds."""
    home.mkdir(mode=0o700)
    OPERATIONS[name].make(home)


@contextmanager
def prepared(name: str, home: Path) -> Iterator[tuple[Run, Run]]:
    """Prepare the operation on the home, as `Operation.opened` does, in this process."""
    os.environ["OPSTORE_CACHE"] = str(home / "cache")
    os.umask(0o077)
    with OPERATIONS[name].opened(home) as runs:
        yield runs


# --- push -------------------------------------------------------------------------------------------------------------


def _some_ops(client: InProcessClient, home: Path) -> None:
    client.push("forest", b"forest", labels={"by": "test"})
    client.push("pca", b"pca", labels={"by": "test"}, valid_for=["forest"])
    (home / "large").write_bytes(LARGE)
    folder = home / "folder"
    folder.mkdir()
    for number in range(3):
        (folder / f"file-{number}").write_bytes(b"%d" % number * 100)


def _push(source: Callable[[Path], Any]) -> OnOpenStore:
    def work(client: InProcessClient, home: Path) -> str:
        return str(client.push("pca", source(home), valid_for=["forest"], tags=["new"]))

    return OnOpenStore(_some_ops, work, calls=(80, 30))


# --- remove and collect -----------------------------------------------------------------------------------------------


def _removable(client: InProcessClient, home: Path) -> None:
    _some_ops(client, home)
    for number in range(3):
        client.push("pca", b"to be removed %d" % number, valid_for=["forest"], tags=[f"tag-{number}"])
    client.push("forest", b"to be removed 0", labels={"by": "test"})  # bytes that stay


def _remove(client: InProcessClient, _home: Path) -> str:
    try:
        removed = client.remove(["pca@1.0.1", "pca@1.0.2"], force=True, reason="by a test")
    except errors.VersionRemoved:  # before the answer was lost
        return "removed"
    assert len(removed) == 2
    return "removed"


def _collectable(client: InProcessClient, home: Path) -> None:
    _removable(client, home)
    client.remove(["pca@1.0.1", "pca@1.0.2", "pca@1.0.3"], force=True)


def _expired_upload(server: OpStoreServer, home: Path) -> None:
    """Let an upload expire now: a start would have deleted it."""
    upload = "0" * 32
    with server.db.write() as connection:
        connection.execute(insert(Upload).values(id=upload, owner="local", touched_at=0))
    (home / "blobs" / "staging" / upload).write_bytes(b"unfinished")


def _collect(client: InProcessClient, _home: Path) -> str:
    collected = client.collect_garbage(grace=0, purge=True)
    if collected.problems:
        raise errors.StorageFailed(reason="; ".join(collected.problems))
    return "collected"


def _blobs(server: OpStoreServer) -> Any:
    return [versions(server), sorted(server.store.saver), [each.digest for each in server.store.saver.trashed()]]


# --- upgrade ----------------------------------------------------------------------------------------------------------


def _upgrade(home: Path) -> str:
    daemon.upgrade(config.load({"OPSTORE_HOME": str(home)}))
    return "upgraded"


OPERATIONS: dict[str, Operation] = {
    "push small": _push(lambda _home: SMALL),
    "push upload": _push(lambda home: home / "large"),
    "push folder": _push(lambda home: home / "folder"),
    "remove": OnOpenStore(_removable, _remove, calls=(40, 20)),
    "gc": OnOpenStore(_collectable, _collect, calls=(18, 10), state=_blobs, once_open=_expired_upload),
    "upgrade": OnHome(lambda home: Released(home, "0010"), _upgrade, calls=(200, 60)),
}
