"""Rename a folder without replacing anything, or exchange it for another one in one step."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

_AT_FDCWD = -100  # Linux: paths are relative to the working directory
# Flags of Linux' renameat2() and of macOS' renamex_np()
_EXCHANGE = 2
_EXCLUSIVE = {"linux": 1, "darwin": 4}


def rename_exclusively(source: Path, target: Path) -> None:
    """Rename the folder; raises FileExistsError if anything is at `target`, even an empty folder, and OSError."""
    if os.name != "posix":
        os.rename(source, target)  # replaces nothing on Windows
        return
    failure = _rename_with(_EXCLUSIVE.get(sys.platform, 0), source, target)
    if failure == 0:
        return
    if failure == errno.EEXIST:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    _claim_and_rename(source, target)  # or raise the error of a system that can


def _claim_and_rename(source: Path, target: Path) -> None:
    # mkdir claims the name. The rename then replaces the empty folder, or fails if another process has filled it.
    os.mkdir(target)
    try:
        os.rename(source, target)
    except BaseException as failure:
        with suppress(OSError):
            os.rmdir(target)
        if isinstance(failure, OSError) and failure.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from failure
        raise


def exchange(source: Path, target: Path) -> bool:
    """Exchange what is at the two paths in one step; return whether that happened: some systems can't."""
    return os.name == "posix" and _rename_with(_EXCHANGE, source, target) == 0


def _rename_with(flag: int, source: Path, target: Path) -> int:
    """Rename in one step, as the flag says; return the error number, ENOSYS where the system has no such call."""
    import ctypes  # takes 5 ms

    first, second = os.fsencode(source), os.fsencode(target)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            failed = library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, flag)
        elif sys.platform == "darwin":
            failed = library.renamex_np(first, second, flag)
        else:
            return errno.ENOSYS
    except (OSError, AttributeError):  # an older system library
        return errno.ENOSYS
    return ctypes.get_errno() if failed else 0
