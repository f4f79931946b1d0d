"""The few system calls that FileSaver is made of, each with the flags and the care that make it safe.

Each is looked up in `os` when it is called, so that a test can replace it by a fault.
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
from opstore_daemon.system import folder_sync, full_disk

# How file systems and sandboxes refuse a call that they do not have.
UNSUPPORTED = {errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
_NO_LINKS = (UNSUPPORTED | {errno.EMLINK}) - {errno.EINVAL}

_READ_ONLY = 0o400

# O_NONBLOCK: opening a pipe that somebody put there must not block; it has no effect on files.
_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise StorageFull or StorageFailed in place of an OSError of a saver; `doing` says what it was doing."""
    try:
        yield
    except OSError as error:
        # Not str(error): the reason goes to the client, which should not see our paths.
        reason = f"{full_disk.reason(error, _folder_of(error))} while {doing}"
        failure = errors.StorageFull if full_disk.is_full(error) else errors.StorageFailed
        raise failure(reason=reason) from error


def _folder_of(error: OSError) -> str | None:
    """Return the folder of the file that the call named; None if it named none."""
    return os.path.dirname(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None


def open_new(path: Path) -> int:
    """Create a file for reading and writing and return its descriptor; raises FileExistsError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)


def open_regular(path: Path, flags: int) -> int:
    """Open an existing regular file; refuses a link, a pipe or a folder in its place."""
    fd = os.open(path, flags | _SAFELY)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "Not a regular file")


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """Open the folder in order to sync it; refuses a link in its place."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def make_folder(path: Path) -> bool:
    """Create the folder with mode 0700; return whether it is new. Sync its parent to make the name durable."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return False
    return True


class SyncFailed(OSError):
    """The disk may not hold what was written. Never retry: a later fsync can succeed although bytes were lost."""


def sync(fd: int) -> None:
    """Write everything to the disk before returning; after SyncFailed, never sync the file again."""
    is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
    try:
        if is_folder:
            folder_sync.sync_names(fd)
        else:
            os.fsync(fd)
    except OSError as error:
        raise SyncFailed(error.errno, error.strerror) from error
    if sys.platform == "darwin":  # pragma: no cover - fsync(2) there stops at the drive's own cache
        import fcntl

        with suppress(OSError):  # network drives do not support it
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)


def sync_folder(path: Path) -> None:
    """Make the names in the folder durable before returning."""
    with opened_folder(path) as fd:
        sync(fd)


def make_read_only(fd: int) -> None:
    """Set the mode of a blob, where the file system has modes."""
    try:
        os.fchmod(fd, _READ_ONLY)
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.EACCES}:
            raise


def write_all(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, even if the system takes fewer bytes at a time."""
    rest = memoryview(data).cast("B")
    while rest:
        written = os.pwrite(fd, rest, offset)
        if written <= 0:
            raise OSError(errno.EIO, "Nothing was written")
        rest, offset = rest[written:], offset + written


def read_into(fd: int, offset: int, buffer: memoryview) -> int:
    """Read from `offset` into the buffer and return how many bytes were read, at least one."""
    count = os.preadv(fd, [buffer], offset)
    if not count:
        raise OSError(errno.EIO, "The file is shorter than it was")
    return count


def pieces(fd: int, size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes of the file in pieces, without using its position."""
    start = 0
    while start < size:
        piece = os.pread(fd, min(READ_SIZE, size - start), start)
        if not piece:
            raise OSError(errno.EIO, "The file is shorter than it was")
        yield piece
        start += len(piece)


def link(path: Path, name: Path) -> bool:
    """Give the file a second name; return False if the name exists or the file system has no hard links."""
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
    """Delete the name; does nothing if there is none."""
    with suppress(FileNotFoundError):
        os.unlink(path)
