"""Advisory locks on files (flock): they end with the process, however it ends."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

if sys.platform != "win32":
    import fcntl

# "none": this system, or this file system, has no such locks.
LockState = Literal["taken", "held", "none"]


class LockedFile:
    """An open file that this process holds the lock of."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path

    def is_still_there(self) -> bool:
        """Whether the path still names this file: another process may have removed or replaced it."""
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(named, os.fstat(self.descriptor))

    @classmethod
    @contextlib.contextmanager
    def take(cls, path: Path, *, create: bool = True, shared: bool = False) -> "Iterator[LockedFile | None]":
        """The lock while the context lasts; None where somebody else holds it or there are none."""
        descriptor = _open(path, create)
        try:
            yield cls(descriptor, path) if try_lock(descriptor, shared=shared) == "taken" else None
        finally:
            os.close(descriptor)

    @classmethod
    @contextlib.contextmanager
    def wait(cls, path: Path) -> "Iterator[LockedFile]":
        """The lock while the context lasts, however long others hold it; raises OSError where there are none."""
        descriptor = _open(path, create=True)
        try:
            if sys.platform == "win32":
                raise OSError(errno.ENOTSUP, "no file locks on this system")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield cls(descriptor, path)
        finally:
            os.close(descriptor)


def try_lock(descriptor: int, *, shared: bool = False) -> LockState:
    """Takes the lock until the descriptor is closed, if nobody else holds it."""
    if sys.platform == "win32":
        return "none"
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError:
        return "none"
    return "taken"


def _open(path: Path, create: bool) -> int:
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | (os.O_CREAT if create else 0)
    return os.open(path, flags, 0o600)
