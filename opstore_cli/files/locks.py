"""Advisory locks on files (flock), which the system releases when the process ends."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from opstore_cli.files.nofollow import DIRECTORY
from opstore_cli.files.private import open_private

if sys.platform != "win32":
    import fcntl

# "busy": another process holds the lock. "unsupported": this system, or this file system, has no such locks.
LockState = Literal["acquired", "busy", "unsupported"]


class LockedFile:
    """An open file whose lock this process holds."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path

    def is_at_path(self) -> bool:
        """Return whether the path still names this file: another process may have removed or replaced it."""
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(named, os.fstat(self.descriptor))

    @classmethod
    @contextlib.contextmanager
    def try_acquire(cls, path: Path, *, create: bool = True, shared: bool = False) -> "Iterator[LockedFile | None]":
        """Hold the lock during the context; None if another process holds it, or locks are unsupported.

        Raises OSError if the file can't be opened.
        """
        descriptor = _open(path, create)
        try:
            yield cls(descriptor, path) if try_lock(descriptor, shared=shared) == "acquired" else None
        finally:
            os.close(descriptor)

    @classmethod
    @contextlib.contextmanager
    def acquire(cls, path: Path) -> "Iterator[LockedFile]":
        """Wait for the lock and hold it during the context; raises OSError, also if locks are unsupported."""
        descriptor = _open(path, create=True)
        try:
            if sys.platform == "win32":
                raise OSError(errno.ENOTSUP, "no file locks on this system")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield cls(descriptor, path)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def lock_folder(path: Path) -> "Iterator[None]":
    """Hold the lock of a folder during the context, where folders have locks; wait while another process holds it.

    Raises OSError if the folder can't be opened.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(path, os.O_RDONLY | DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, *, shared: bool = False) -> LockState:
    """Acquire the lock, until the descriptor is closed, unless another process holds it."""
    if sys.platform == "win32":
        return "unsupported"
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return "busy"
    except OSError:
        return "unsupported"
    return "acquired"


def _open(path: Path, create: bool) -> int:
    return open_private(path, os.O_RDWR | (os.O_CREAT if create else 0))
