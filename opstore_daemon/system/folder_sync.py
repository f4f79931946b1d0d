"""Sync the names in a folder to the disk, where the system has a call for it."""

import errno
import os
from pathlib import Path

# How network and FUSE file systems, and sandboxes, refuse to sync a folder: there, nobody can do more for its names.
# A disk that fails reports another error.
_REFUSED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM}


def sync_names(descriptor: int) -> None:
    """Make the names in the open folder durable; does nothing if the system refuses. Raises OSError if the disk fails.

    The descriptor has to be open: a closed one counts as a refusal.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise


def sync_folder(folder: Path | bytes) -> None:
    """Make the names in the folder at the path durable, as `sync_names` does. Raises OSError."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # a folder that can be written to and not listed
    try:
        sync_names(descriptor)
    finally:
        os.close(descriptor)
