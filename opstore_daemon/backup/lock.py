"""The lock of a backup folder: one backup at a time writes, or any number of checks and restores read.

It is a precaution: a bucket or a network drive may have no locks, and then nothing is locked.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.system.files import open_regular

NAME = "backup.lock"
_NO_LOCKS = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def writing(folder: Path) -> Iterator[bool]:
    """Hold the folder alone in the context, which gets False if it has no locks. Raises BackupInUse and OSError."""
    descriptor = open_regular(folder / NAME, os.O_RDWR | os.O_CREAT)
    try:
        yield _lock(descriptor, fcntl.LOCK_EX, folder)
    finally:
        os.close(descriptor)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Keep backups from writing to the folder in the context, as far as it can be locked. Raises BackupInUse."""
    try:
        descriptor = open_regular(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        yield  # such as a copy of the folder
        return
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        yield
        return
    try:
        _lock(descriptor, fcntl.LOCK_SH, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise errors.BackupInUse(folder=str(folder)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS | {errno.EBADF}:  # NFS locks only what is open for writing
            raise
        return False
    return True
