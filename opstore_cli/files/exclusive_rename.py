"""Rename a folder without replacing anything."""

import errno
import os
from contextlib import suppress
from pathlib import Path


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
