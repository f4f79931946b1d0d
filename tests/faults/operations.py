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

from opstore_daemon import OpStoreServer, config, daemon
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

    def make(self, home: Path) -> None:
        with closing(open_home(home)) as server:
            self.before(InProcessClient(server), home)

    @contextmanager
    def opened(self, home: Path) -> Iterator[tuple[Run, Run]]:
        with closing(open_home(home)) as server:
            client = InProcessClient(server)
            yield lambda: self.work(client, home), lambda: versions(server)


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


# --- upgrade ----------------------------------------------------------------------------------------------------------


def _upgrade(home: Path) -> str:
    daemon.upgrade(config.load({"OPSTORE_HOME": str(home)}))
    return "upgraded"


OPERATIONS: dict[str, Operation] = {
    "push small": _push(lambda _home: SMALL),
    "push upload": _push(lambda home: home / "large"),
    "push folder": _push(lambda home: home / "folder"),
    "upgrade": OnHome(lambda home: Released(home, "0010"), _upgrade, calls=(200, 60)),
}
