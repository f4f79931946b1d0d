"""Rename a folder without replacing anything, or exchange it for another one in one step."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

_AT_FDCWD = -100  # Linux: paths are relative to the working directory
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux' renameat2(), and RENAME_SWAP of macOS' renamex_np()


def rename_exclusively(source: Path, target: Path) -> None:
    """Rename the folder; raises FileExistsError if anything is at `target`, even an empty folder, and OSError."""
    if os.name != "posix":
        os.rename(source, target)  # replaces nothing on Windows
        return
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
    if os.name != "posix":
        return False
    import ctypes  # takes 5 ms

    first, second = os.fsencode(source), os.fsencode(target)
    try:
        library = ctypes.CDLL(None)
        if sys.platform == "linux":
            return bool(library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _EXCHANGE) == 0)
        if sys.platform == "darwin":
            return bool(library.renamex_np(first, second, _EXCHANGE) == 0)
    except (OSError, AttributeError):
        pass  # an older system library
    return False
