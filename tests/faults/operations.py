"""The operations that have faults: what they find, what they do, and what they have to leave.

Most run through the Python client and the WSGI application of an open store, in one process with one thread, so that
the n-th call of a run is the n-th call of every run.
"""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from opstore_daemon import OpStoreServer, config, daemon
from opstore_daemon.backup import files, verification
from opstore_daemon.backup.creation import back_up
from opstore_daemon.backup.folder import BackupFolder
from opstore_daemon.backup.restoration import restore
from opstore_daemon.metadata.tables import DamagedBlob, Upload
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.restore_marker import MARKER
from opstore_daemon.savers import FileSaver
from tests.faults import claims
from tests.support.in_process import InProcessClient
from tests.support.released import Released

SMALL = b"small bytes"
LARGE = bytes(range(256)) * 5000  # more than a small push: an upload

Work = Callable[[InProcessClient, Path], Any]
Run = Callable[[], Any]


STORE, BACKUP = "store", "backup"  # the folders of a run; the files of its client lie beside them


def open_store(root: Path) -> OpStoreServer:
    """Open the store of the run, as a daemon that starts does."""
    home = root / STORE
    home.mkdir(mode=0o700, exist_ok=True)
    return OpStoreServer(FileSaver(home / "blobs"), f"sqlite:///{home / 'opstore.db'}", token="t" * 32, home=home)


def settings(root: Path) -> config.Config:
    """Return the settings of the daemon and of the commands that work on its files."""
    return config.load({"OPSTORE_HOME": str(root / STORE)})


def versions(server: OpStoreServer) -> Any:
    """Return all versions with their tags, after a check of the whole store and a pull of each that has bytes."""
    findings = server.store.fsck(read_data=True).findings
    assert not findings, findings
    found = [version for op in server.store.ops() for version in server.store.versions(op.name).versions]
    for version in found:
        if version.digest is not None:
            server.store.pull(f"{version.op}@{version.version}")
    return [[version.op, version.version, version.sequence, list(version.tags)] for version in found]


class Operation(ABC):
    """An operation in the folder `root`.

    `calls`: how many calls that change something strace, or patches, see at the least; fewer would mean that they have
    become blind. `codes` are the exit codes of the errors that it may raise.
    """

    calls: tuple[int, int]
    codes: tuple[int, ...] = (9,)

    @abstractmethod
    def make(self, root: Path) -> None:
        """Make what it finds."""

    @abstractmethod
    def opened(self, root: Path) -> AbstractContextManager[tuple[Run, Run]]:
        """Prepare it; yield the operation, and what returns the state, which a repetition has to leave the same."""

    def check(self, root: Path) -> None:
        """Check what has to be true at any time."""
        claims.check(root / STORE)

    def leftovers(self, root: Path) -> list[str]:
        """Return what a start, a repetition or the collector has to clean up."""
        return claims.leftovers(root / STORE)


@dataclass(frozen=True)
class OnOpenStore(Operation):
    """An operation on a store that is open before it begins, and stays open."""

    before: Work
    work: Work
    calls: tuple[int, int]
    state: Callable[[OpStoreServer], Any] = versions
    once_open: Callable[[OpStoreServer, Path], None] = lambda server, root: None

    def make(self, root: Path) -> None:
        with closing(open_store(root)) as server:
            self.before(InProcessClient(server), root)

    @contextmanager
    def opened(self, root: Path) -> Iterator[tuple[Run, Run]]:
        with closing(open_store(root)) as server:
            self.once_open(server, root)
            client = InProcessClient(server)
            yield lambda: self.work(client, root), lambda: self.state(server)


@dataclass(frozen=True)
class OnFiles(Operation):
    """An operation on the files of a store that no daemon has open."""

    before: Callable[[Path], Any]
    work: Callable[[Path], Any]
    calls: tuple[int, int]

    def make(self, root: Path) -> None:
        self.before(root)

    @contextmanager
    def opened(self, root: Path) -> Iterator[tuple[Run, Run]]:
        yield lambda: self.work(root), lambda: self.state(root)

    def state(self, root: Path) -> Any:
        with closing(open_store(root)) as server:
            return versions(server)


def make(name: str, root: Path) -> None:
    """Make the folder that the operation finds."""
    root.mkdir(mode=0o700)
    OPERATIONS[name].make(root)


@contextmanager
def prepared(name: str, root: Path) -> Iterator[tuple[Run, Run]]:
    """Prepare the operation, as `Operation.opened` does, in this process."""
    os.environ["OPSTORE_CACHE"] = str(root / "cache")
    os.umask(0o077)
    with OPERATIONS[name].opened(root) as runs:
        yield runs


# --- push -------------------------------------------------------------------------------------------------------------


def _some_ops(client: InProcessClient, root: Path) -> None:
    client.push("forest", b"forest", labels={"by": "test"})
    client.push("pca", b"pca", labels={"by": "test"}, valid_for=["forest"])
    (root / "large").write_bytes(LARGE)
    folder = root / "folder"
    folder.mkdir()
    for number in range(3):
        (folder / f"file-{number}").write_bytes(b"%d" % number * 100)


def _push(source: Callable[[Path], Any]) -> OnOpenStore:
    def work(client: InProcessClient, root: Path) -> str:
        return str(client.push("pca", source(root), valid_for=["forest"], tags=["new"]))

    return OnOpenStore(_some_ops, work, calls=(80, 30))


# --- remove and collect -----------------------------------------------------------------------------------------------


def _removable(client: InProcessClient, root: Path) -> None:
    _some_ops(client, root)
    for number in range(3):
        client.push("pca", b"to be removed %d" % number, valid_for=["forest"], tags=[f"tag-{number}"])
    client.push("forest", b"to be removed 0", labels={"by": "test"})  # bytes that stay


def _remove(client: InProcessClient, _root: Path) -> str:
    try:
        removed = client.remove(["pca@1.0.1", "pca@1.0.2"], force=True, reason="by a test")
    except errors.VersionRemoved:  # before the answer was lost
        return "removed"
    assert len(removed) == 2
    return "removed"


def _collectable(client: InProcessClient, root: Path) -> None:
    _removable(client, root)
    client.remove(["pca@1.0.1", "pca@1.0.2", "pca@1.0.3"], force=True)


def _expired_upload(server: OpStoreServer, root: Path) -> None:
    """Let an upload expire now: a start would have deleted it."""
    upload = "0" * 32
    with server.db.write() as connection:
        connection.execute(insert(Upload).values(id=upload, owner="local", touched_at=0))
    (root / STORE / "blobs" / "staging" / upload).write_bytes(b"unfinished")


def _collect(client: InProcessClient, _root: Path) -> str:
    collected = client.collect_garbage(grace=0, purge=True)
    if collected.problems:
        raise errors.StorageFailed(reason="; ".join(collected.problems))
    return "collected"


def _blobs(server: OpStoreServer) -> Any:
    return [versions(server), sorted(server.store.saver), [each.digest for each in server.store.saver.trashed()]]


# --- fsck -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repair(OnOpenStore):
    """A check that finds and marks a damaged and a missing blob, and pushes that heal them."""

    def check(self, root: Path) -> None:
        claims.check(root / STORE, may_lack=DAMAGED)


DAMAGED = (b"pca", b"forest")  # the bytes of versions of `_some_ops`


def _damaged(client: InProcessClient, root: Path) -> None:
    _some_ops(client, root)
    pca, forest = (root / STORE / "blobs" / "blobs" / digest[:2] / digest for digest in map(claims.hex_of, DAMAGED))
    pca.chmod(0o600)
    pca.write_bytes(b"PCA")
    forest.unlink()


def _repair(client: InProcessClient, _root: Path) -> str:
    client.fsck(read_data=True, repair=True)
    client.push("pca", DAMAGED[0])
    client.push("forest", DAMAGED[1])
    return "healed"


def _marks(server: OpStoreServer) -> Any:
    with server.db.read() as connection:
        return [versions(server), connection.execute(select(DamagedBlob.digest)).scalars().all()]


# --- upgrade ----------------------------------------------------------------------------------------------------------


def _older(root: Path) -> None:
    (root / STORE).mkdir(mode=0o700)
    Released(root / STORE, "0010")


def _upgrade(root: Path) -> str:
    daemon.upgrade(settings(root))
    return "upgraded"


# --- backup and restore -----------------------------------------------------------------------------------------------


class Backup(OnFiles):
    """A backup into a folder that has an earlier one."""

    codes = (6, 9)

    def check(self, root: Path) -> None:
        super().check(root)
        manifest = BackupFolder.existing(root / BACKUP).require_manifest()
        problems = verification.check(root / BACKUP, ignore).problems
        assert len(problems) == len(manifest.missing), "a backup is damaged, and its manifest does not say so"

    def leftovers(self, root: Path) -> list[str]:
        names = sorted(path.name for path in (root / BACKUP).rglob("*"))
        databases = [name for name in names if name.endswith(".db")]
        parts = [name for name in names if files.is_part(name)]
        return [*super().leftovers(root), *parts, *(databases if len(databases) > 1 else [])]

    def state(self, root: Path) -> Any:
        checked = verification.check(root / BACKUP, ignore)
        return [super().state(root), checked.position, checked.versions, checked.blobs, len(checked.problems)]


def ignore(_line: object) -> None:
    """Report nothing."""


def _backed_up(root: Path) -> None:
    with closing(open_store(root)) as server:
        client = InProcessClient(server)
        _some_ops(client, root)
    _back_up(root)
    with closing(open_store(root)) as server:
        InProcessClient(server).push("pca", SMALL, valid_for=["forest"])


def _back_up(root: Path) -> str:
    done = back_up(settings(root), root / BACKUP, ignore)
    if done.missing:
        raise errors.BackupIncomplete(count=len(done.missing), total=done.blobs)
    return "backed up"


class Restore(OnFiles):
    """A restore into a home that is empty, or that an earlier restore has left unfinished."""

    codes = (6, 9)

    def check(self, root: Path) -> None:
        if (root / STORE / "opstore.db").exists():
            super().check(root)

    def leftovers(self, root: Path) -> list[str]:
        names = [path.name for path in (root / STORE).rglob("*")]
        return [*super().leftovers(root), *filter(files.is_part, names), *(name for name in names if name == MARKER)]


def _lost(root: Path) -> None:
    _backed_up(root)
    _back_up(root)
    shutil.rmtree(root / STORE)
    (root / STORE).mkdir(mode=0o700)


def _restore(root: Path) -> str:
    try:
        restore(settings(root), root / BACKUP, ignore)
    except errors.HomeNotEmpty:
        assert not (root / STORE / MARKER).exists()  # it is complete, and only the answer was lost
    return "restored"


OPERATIONS: dict[str, Operation] = {
    "push small": _push(lambda _root: SMALL),
    "push upload": _push(lambda root: root / "large"),
    "push folder": _push(lambda root: root / "folder"),
    "remove": OnOpenStore(_removable, _remove, calls=(40, 20)),
    "gc": OnOpenStore(_collectable, _collect, calls=(18, 10), state=_blobs, once_open=_expired_upload),
    "fsck --repair": Repair(_damaged, _repair, calls=(30, 15), state=_marks),
    "upgrade": OnFiles(_older, _upgrade, calls=(80, 40)),
    "backup": Backup(_backed_up, _back_up, calls=(20, 10)),
    "restore": Restore(_lost, _restore, calls=(20, 10)),
}
