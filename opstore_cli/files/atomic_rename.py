"""Renames that never take away what is there: into a free place only, or two places exchanged at once."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

# renameat2(2) of Linux: RENAME_NOREPLACE, RENAME_EXCHANGE. renamex_np(2) of macOS: RENAME_EXCL, RENAME_SWAP.
_IF_FREE, _EXCHANGE = (1, 2) if sys.platform == "linux" else (4, 2)
_HERE = -100  # AT_FDCWD
# What a kernel, or a file system, says that has no such rename. Some say so for what they can do with a plain one.
_CANNOT = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV}


def move_if_free(source: Path, target: Path) -> None:
    """Renames a folder; raises FileExistsError where the target is there, if only as an empty folder, and OSError."""
    if _rename(source, target, _IF_FREE):
        return
    if os.name != "posix":
        os.rename(source, target)  # never replaces anything there
        return
    # A rename replaces an empty folder: the one that claims the name, or whatever took its place.
    os.mkdir(target)
    try:
        os.rename(source, target)
    except BaseException as failure:
        with suppress(OSError):
            os.rmdir(target)
        if isinstance(failure, OSError) and failure.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from failure
        raise


def exchange(one: Path, other: Path) -> bool:
    """Each is where the other was, with no moment in between; False where that can't be had. Raises OSError."""
    return _rename(one, other, _EXCHANGE)


def _rename(source: Path, target: Path, how: int) -> bool:
    import ctypes

    if sys.platform not in ("linux", "darwin"):
        return False
    system = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(source), os.fsencode(target)
    try:
        if sys.platform == "linux":
            failed = system.renameat2(_HERE, paths[0], _HERE, paths[1], how)
        else:
            failed = system.renamex_np(*paths, how)
    except AttributeError:  # an older library, or another one
        return False
    code = ctypes.get_errno()
    if failed and code not in _CANNOT:
        raise OSError(code, os.strerror(code), str(target))
    return not failed
