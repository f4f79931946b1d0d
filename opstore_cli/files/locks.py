"""Advisory locks on files (flock), which the system releases when the process ends."""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from opstore_daemon.system.files import DIRECTORY, is_at_path, open_regular

if sys.platform != "win32":
    import fcntl

POLL_INTERVAL = 0.05  # seconds between two tries of a lock that is waited for with a timeout

# "busy": another process holds the lock. "unsupported": this system, or this file system, has no such locks.
LockState = Literal["acquired", "busy", "unsupported"]


class LockedFile:
    """An open file whose lock this process holds."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path

    def is_at_path(self) -> bool:
        """Return whether the path still names this file: another process may have removed or replaced it."""
        return is_at_path(self.path, self.descriptor)

    @classmethod
    @contextlib.contextmanager
    def try_acquire(cls, path: Path, *, create: bool = True, shared: bool = False) -> "Iterator[LockedFile | None]":
        """Hold the lock during the context; None if another process holds it, or locks are unsupported.

        Raises OSError if the file can't be opened or is not a regular file.
        """
        descriptor = _open(path, create, shared)
        try:
            yield cls(descriptor, path) if try_lock(descriptor, shared=shared) == "acquired" else None
        finally:
            os.close(descriptor)

    @classmethod
    @contextlib.contextmanager
    def acquire(cls, path: Path, timeout: float | None = None) -> "Iterator[LockedFile]":
        """Wait for the lock and hold it during the context.

        Raises TimeoutError after `timeout` seconds (None: waits on), and OSError, also if locks are unsupported.
        """
        descriptor = _open(path, create=True, shared=False)
        try:
            if sys.platform == "win32":
                raise OSError(errno.ENOTSUP, "no file locks on this system")
            if timeout is None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            else:
                _lock_within(descriptor, timeout)
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


def _lock_within(descriptor: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while (state := try_lock(descriptor)) == "busy":
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, f"another process holds it for {timeout:.0f} s")
        time.sleep(POLL_INTERVAL)
    if state == "unsupported":
        raise refusal(descriptor)


def refusal(descriptor: int) -> OSError:
    """Return why a lock is "unsupported", in the words of the system."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return OSError(error.errno, f"flock failed: {error.strerror}")
    return OSError(errno.ENOTSUP, "no file locks on this system")


def _open(path: Path, create: bool, shared: bool) -> int:
    # A shared lock works on a file that can only be read, as in a read-only file system.
    return open_regular(path, (os.O_RDONLY if shared else os.O_RDWR) | (os.O_CREAT if create else 0))
