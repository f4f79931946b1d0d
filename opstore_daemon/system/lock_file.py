"""A file that one holder at a time has locked, with a record that says who and outlives the holder.

The lock is flock(2): the system releases it at the end of the process, `kill -9` included, and two holders in one
process exclude each other too. It belongs to the file, so every path that leads to the file meets the same lock.
"""

import fcntl
import json
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opstore_daemon.system.files import open_regular

# Who holds a lock that this process asks for again.
EARLIER_SERVER = "an earlier server of this process, which was not closed"

_SECTOR = 512  # bytes; a record of a constant size is overwritten in place, which needs no room on a full disk


class Busy(Exception):
    """Somebody holds the lock; `holder` says in words who."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"the lock is held by {holder}")
        self.holder = holder


class LockFile:
    """A lock that is held from the creation of the object to `close`, or to the end of the process."""

    def __init__(self, path: Path) -> None:
        """Create the file (mode 0600) if it is missing, and lock it without waiting.

        Raises Busy if it is held, and OSError with the path for everything else: a symbolic link, a hard link or
        anything else that is not a regular file, and a file system that has no locks.
        """
        self._path = path
        fd = open_regular(path, os.O_RDWR | os.O_CREAT)
        try:
            _lock(fd, path)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._process = fd, os.getpid()
        self.record = _read(fd)
        # An owner that is dropped without `close` releases the lock too.
        self._close = weakref.finalize(self, os.close, fd)
        _locks[_identity(fd)] = self

    @property
    def is_held_here(self) -> bool:
        """Whether this very process holds the lock: one that it was forked from does not count."""
        return self._close.alive and self._process == os.getpid()

    def is_at_path(self) -> bool:
        """Return whether the path still names the file that is locked; raise OSError if the system can't say."""
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self._fd))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def write(self, record: dict[str, Any], *, durable: bool = False) -> None:
        """Replace the record; `durable`: flush it to the disk before returning. Raises OSError."""
        text = json.dumps(record).encode() + b"\n"
        padded = text.rjust(-(-len(text) // _SECTOR) * _SECTOR)
        os.pwrite(self._fd, padded, 0)
        if len(padded) != os.fstat(self._fd).st_size:
            os.ftruncate(self._fd, len(padded))
        if durable:
            os.fsync(self._fd)
        self.record = record

    def close(self) -> None:
        """Release the lock; the file and its record stay. Closing twice is allowed."""
        if self._close.alive:
            # Not left to the close: a child process may have inherited the descriptor.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._close()


def read_record(path: Path) -> dict[str, Any]:
    """Return the record in a lock file without locking it; an empty one if there is none, or it can't be read."""
    try:
        fd = open_regular(path, os.O_RDONLY)
    except OSError:
        return {}
    try:
        return _read(fd)
    finally:
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of the file; False if there is no file, or it can't be opened.

    This takes a shared lock for an instant, so call it only if nobody is about to lock the file.
    """
    try:
        fd = open_regular(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)  # anything else: a file system without locks
    finally:
        os.close(fd)
    return False


@contextmanager
def kept_unlocked(path: Path) -> Iterator[bool]:
    """Keep everybody from locking the file in the context; False if somebody has, or the file is missing or no file.

    Needs no permission to write.
    """
    try:
        fd = open_regular(path, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield _is_shared(fd)
    finally:
        os.close(fd)


def _is_shared(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def holder(home: str | None) -> dict[str, Any]:
    """Return the record of this process as a holder."""
    return {"pid": os.getpid(), "host": os.uname().nodename, "home": home}


# The last lock of this process on each file, unless its owner was dropped.
_locks: "weakref.WeakValueDictionary[tuple[int, int], LockFile]" = weakref.WeakValueDictionary()


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _holder_of(fd: int) -> str:
    """Return in words who holds the lock of the open file."""
    own = _locks.get(_identity(fd))
    if own is not None and own.is_held_here:
        return EARLIER_SERVER
    record = _read(fd)
    if "pid" not in record:
        return "another daemon"
    home = f", home {record['home']}" if record.get("home") else ""
    return f"another daemon (pid {record['pid']} on {record.get('host')}{home})"


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(_holder_of(fd)) from None
    except OSError as error:
        raise OSError(error.errno, f"flock failed: {error.strerror}", str(path)) from error


def _read(fd: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(fd, 64 * 1024, 0))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
