"""What counts as a full disk, and how much of it stays free."""

import errno
import os

MIB = 1024 * 1024

# Bytes that pushes leave free, for the metadata: SQLite's log grows to 4 MiB before its pages are written back to the
# database, which may grow by as many.
MARGIN = 8 * MIB
# Bytes that are preallocated and given up when even metadata has no space. No more than the margin, so that no push
# takes what was given up.
RESERVE = 8 * MIB

# A quota, and a limit on the size of a file (RLIMIT_FSIZE, or the file system's own), count as full disks.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_full(error: OSError) -> bool:
    """Return whether the system has no space for what was to be written."""
    return error.errno in _FULL


def reason(error: OSError, folder: str | os.PathLike[str] | None = None) -> str:
    """Return the error in the system's words, without a path; says so if the disk of `folder` has no inodes left.

    For the system, a disk without inodes has no space left, while `df` shows free bytes.
    """
    words = error.strerror or type(error).__name__
    if error.errno == errno.ENOSPC and folder is not None and _has_no_inodes(folder):
        return f"{words} (no inodes are left for new files)"
    return words


def _has_no_inodes(folder: str | os.PathLike[str]) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_files > 0 and found.f_favail == 0  # some file systems count no inodes
