"""Homes whose stores are backed up and restored in this process."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from opstore_daemon import config
from opstore_daemon.backup.creation import back_up
from opstore_daemon.backup.restoration import restore
from opstore_daemon.backup.verification import check
from opstore_daemon.protocol.backup_lines import BackedUp, Checked, Moved, Problem, Restored
from opstore_daemon.store.store import Store
from tests.support.servers import open_server


class Home:
    """A home in a folder, which need not exist, and what its last backup or restore reported."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.moved: list[Moved] = []
        self.problems: list[Problem] = []

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """Open a server in the context, which gets its store."""
        self.path.mkdir(exist_ok=True)
        with closing(open_server(self.path)) as server:
            yield server.store

    def push(self, *data: bytes, op: str = "pca") -> list[str]:
        """Push each as a version of the op; return the version numbers."""
        with self.opened() as store:
            return [store.push(op, each).version for each in data]

    def settings(self, **urls: str) -> config.Config:
        """Return the settings of a daemon of this home."""
        return config.load({"OPSTORE_HOME": str(self.path)}, **urls)

    def back_up(self, folder: Path, **options: bool) -> BackedUp:
        """Back up the store."""
        self._forget()
        return back_up(self.settings(), folder, self._report, **options)

    def check(self, folder: Path) -> Checked:
        """Check a backup."""
        self._forget()
        return check(folder, self._report)

    def restore(self, folder: Path, **options: Any) -> Restored:
        """Restore a backup into this home."""
        self._forget()
        return restore(self.settings(), folder, self._report, **options)

    def contents(self) -> dict[str, Any]:
        """Return everything that the store says about its versions, links and tags, and their bytes."""
        with self.opened() as store:
            return contents(store)

    def files(self) -> dict[str, bytes]:
        """Return what `everything_in` returns of the home."""
        return everything_in(self.path)

    def blob(self, digest: str) -> Path:
        """Return the path of a blob."""
        name = digest.removeprefix("sha256:")
        return self.path / "blobs" / "blobs" / name[:2] / name

    def _report(self, line: Moved | Problem) -> None:
        if isinstance(line, Problem):
            self.problems.append(line)
        else:
            self.moved.append(line)

    def _forget(self) -> None:
        self.moved, self.problems = [], []


def contents(store: Store) -> dict[str, Any]:
    """Return everything that a store says about its versions, links, tags and journal, now and earlier."""
    found: dict[str, Any] = {"ops": {}}
    for op in store.ops():
        versions = store.versions(op.name).versions
        found["ops"][op.name] = [
            (msgspec.to_builtins(each), None if each.digest is None else store.pull(f"{op.name}@{each.version}"))
            for each in versions
        ]
    found["links"] = msgspec.to_builtins(store.links())
    found["tags"] = msgspec.to_builtins(store.tags())
    found["journal"] = msgspec.to_builtins(store.log(limit=1000))
    return found


def everything_in(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files in the folder by path, but for those that SQLite creates to read a database."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm") and not (path.name.endswith("-wal") and is_empty(path))
    }


def is_empty(path: Path) -> bool:
    """Return whether the file has no bytes."""
    return path.stat().st_size == 0


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return what the manifest of a backup says."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())["backup"]
    return found


def blob_in(folder: Path, digest: str) -> Path:
    """Return the path of a blob in a backup."""
    name = digest.removeprefix("sha256:")
    return folder / "blobs" / name[:2] / name
