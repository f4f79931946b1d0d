"""Sync the names in a folder to the disk."""

import errno
import os
from pathlib import Path

# How network and FUSE file systems refuse to sync a folder: they write names by themselves.
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM}


def sync_folder(folder: Path | bytes) -> None:
    """Make the names in the folder durable, where the system can; raises OSError if the disk fails."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # a folder that can be written to and not listed
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)
