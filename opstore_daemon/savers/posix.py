"""The few system calls that the FileSaver is made of, each with the flags and the care that make it safe.

They are called as `os.name` at the time of the call, so that a test can put a fault in their place.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import READ_SIZE

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}

# O_NONBLOCK: a pipe that somebody put there must not hold us up; it means nothing to a file.
_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """What the system says, in the words of the store: StorageFull or StorageFailed. The one place that does so."""
    try:
        yield
    except OSError as error:
        # Not str(error): the reason goes to the client, whom our paths do not concern.
        reason = f"{error.strerror or type(error).__name__} while {doing}"
        failure = errors.StorageFull if error.errno in _FULL else errors.StorageFailed
        raise failure(reason=reason) from error


def open_new(path: Path) -> int:
    """A file of ours that was not there before, to write and to read; raises FileExistsError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)


def open_regular(path: Path, flags: int) -> int:
    """A file that is there already; a link, a pipe or a folder in its place is refused."""
    fd = os.open(path, flags | _SAFELY)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "Not a regular file")


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """The folder, to sync it; a link in its place is refused."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def make_folder(path: Path) -> bool:
    """The folder is there; True if it is new: for us alone, and its name is not durable until its parent is synced."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return False
    return True


class SyncFailed(OSError):
    """The disk may not hold what was written. Asked again, the system may say yes although it threw the bytes away."""


def sync(fd: int) -> None:
    """What was written is on the disk when it returns; raises SyncFailed, and then is not to be tried again."""
    try:
        os.fsync(fd)
    except OSError as error:
        raise SyncFailed(error.errno, error.strerror) from error
    if sys.platform == "darwin":  # pragma: no cover - fsync(2) there stops at the drive's own cache
        import fcntl

        with suppress(OSError):  # a network drive knows no such thing
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)


def sync_folder(path: Path) -> None:
    """The names in that folder are on the disk when it returns."""
    with opened_folder(path) as fd:
        sync(fd)


def write_all(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """All of data, from that offset on; the system may take fewer bytes at a time than it was given."""
    rest = memoryview(data).cast("B")
    while rest:
        written = os.pwrite(fd, rest, offset)
        if written <= 0:
            raise OSError(errno.EIO, "Nothing was written")
        rest, offset = rest[written:], offset + written


def read_into(fd: int, offset: int, buffer: memoryview) -> int:
    """Bytes of the file from that offset on; how many there were, at least one."""
    count = os.preadv(fd, [buffer], offset)
    if not count:
        raise OSError(errno.EIO, "The file is shorter than it was")
    return count


def pieces(fd: int, size: int) -> Iterator[bytes]:
    """The first size bytes of the file, wherever its position is, which stays."""
    start = 0
    while start < size:
        piece = os.pread(fd, min(READ_SIZE, size - start), start)
        if not piece:
            raise OSError(errno.EIO, "The file is shorter than it was")
        yield piece
        start += len(piece)


def link(path: Path, name: Path) -> bool:
    """A second name for the file; False where the name is taken, or the file system has no hard links."""
    try:
        os.link(path, name, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True


def unlink(path: Path) -> None:
    """The name is gone; not an error where there is none."""
    with suppress(FileNotFoundError):
        os.unlink(path)
