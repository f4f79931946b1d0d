"""A lock on a file that is held by an object rather than by a block: until it is closed, or collected."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Self

from opstore_daemon.system.files import is_at_path, open_regular

if sys.platform != "win32":
    import fcntl


class EntryLock:
    """The lock of one entry of a folder. Where there are no locks, it is nothing but an open file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path, *, shared: bool) -> Self:
        """Wait for the lock; several may hold a shared one. Raises OSError if the file can't be opened."""
        lock = cls._try(path, shared=shared, wait=True)
        while lock is None:  # whoever held it removed the file
            lock = cls._try(path, shared=shared, wait=True)
        return lock

    @classmethod
    def try_acquire(cls, path: Path) -> Self | None:
        """Return the lock, for this holder alone; None if anybody else holds it, or there are no locks."""
        return cls._try(path, shared=False, wait=False)

    @classmethod
    def _try(cls, path: Path, *, shared: bool, wait: bool) -> Self | None:
        lock = cls(open_regular(path, os.O_RDWR | os.O_CREAT))
        if sys.platform == "win32":
            return lock if wait else None
        try:
            fcntl.flock(lock._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except OSError:  # busy, or a file system without locks
            if wait:
                return lock
            lock.close()
            return None
        if is_at_path(path, lock._descriptor):
            return lock
        lock.close()
        return None

    def close(self) -> None:
        """Release the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.close()
