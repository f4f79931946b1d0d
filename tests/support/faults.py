"""Faults injected into system calls: an error at the n-th call, or a crash before it."""

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.metadata import Database

CALLS = ("open", "pwrite", "splice", "ftruncate", "fchmod", "utime", "fsync", "mkdir", "link", "rename", "unlink")


class Crash(BaseException):
    """The process has crashed: nothing of it runs any more, `finally` included."""


class Faults:
    """Count the system calls of a saver; make the n-th (from 1) fail or the last one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, crash: bool) -> None:
        self.count, self.at, self.crash = 0, at, crash
        for name in filter(partial(hasattr, os), CALLS):
            monkeypatch.setattr(os, name, self._faulty(name, getattr(os, name)))

    @property
    def struck(self) -> bool:
        return self.count >= self.at

    def _faulty(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*args: Any, **kwargs: Any) -> Any:
            if name == "splice" and "offset_dst" not in kwargs:
                return call(*args, **kwargs)  # called by the connection, whose failures are not those of the disk
            self.count += 1
            if self.crash and self.struck:
                raise Crash(name)
            if self.count == self.at:
                raise OSError(errno.EIO, "Input/output error")
            return call(*args, **kwargs)

        return faulty


def dies(*args: Any, **kwargs: Any) -> None:
    """A system call before which the process crashes."""
    raise Crash


def fails(error: int, *, after: int = 0) -> Callable[..., Any]:
    """A system call that does nothing a number of times, and then fails with the error."""
    calls = iter(range(after))

    def call(*args: Any, **kwargs: Any) -> None:
        if next(calls, None) is None:
            raise OSError(error, os.strerror(error))

    return call


@contextmanager
def commit_fails(database: Database, monkeypatch: pytest.MonkeyPatch, *, happened: bool) -> Iterator[None]:
    """Make each commit fail, before or after it takes effect (`happened`)."""
    commit = database.engine.dialect.do_commit

    def fail(connection: Any) -> None:
        if happened:
            commit(connection)
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(database.engine.dialect, "do_commit", fail)
        yield


def refuse_folder_sync(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Have fsync fail with the error for each folder, as on a file system that can't sync them."""
    really, refuse = os.fsync, fails(error)

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            refuse()
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def refuse_file_sync(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Have fsync fail with the error for each regular file, as on a disk that fails."""
    really, refuse = os.fsync, fails(error)

    def fsync(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            refuse()
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def record_names(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Record these system calls, `fsync` of a folder as `fsync folder`, in order in the list that is returned."""
    log: list[str] = []

    def recorded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            is_folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            log.append(f"{name} folder" if is_folder else name)
            return call(*args, **kwargs)

        return run

    for name in names:
        monkeypatch.setattr(os, name, recorded(name, getattr(os, name)))
    return log


def record(monkeypatch: pytest.MonkeyPatch, root: Path) -> list[str]:
    """Record the system calls of the saver in order in the list that is returned."""
    log: list[str] = []

    def what(target: Any) -> str:
        if not isinstance(target, int):
            return "/".join(Path(target).relative_to(root).parts[:1])
        found = os.fstat(target)
        if stat.S_ISREG(found.st_mode):
            return "file"
        folders = [root.parent, root, *(path for path in root.rglob("*") if path.is_dir())]
        return next(folder.name for folder in folders if os.path.samestat(folder.stat(), found))

    def recorded(name: str) -> None:
        call = getattr(os, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            log.append(f"{name} {what(args[1] if name in ('link', 'rename') else args[0])}")
            return call(*args, **kwargs)

        monkeypatch.setattr(os, name, run)

    for name in ("pwrite", "fsync", "link", "rename", "fchmod"):
        recorded(name)
    return log
