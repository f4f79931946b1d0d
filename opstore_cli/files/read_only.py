"""Files and folders that nobody may write to, and their removal."""

import os
import stat
from pathlib import Path

from opstore_cli.files.part_folder import remove

WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def make_read_only(path: Path) -> None:
    """Take the permission to write from the file, or from the folder and all in it. A link is left alone."""
    if path.is_symlink():
        return
    if path.is_dir():
        for folder, _, names in os.walk(path, topdown=False):
            for name in names:
                _take_write_permission(os.path.join(folder, name))
            _take_write_permission(folder)
    else:
        _take_write_permission(path)


def remove_read_only(path: Path) -> None:
    """Delete a read-only file or folder, or whatever else is there; raises OSError."""
    if path.is_dir() and not path.is_symlink():
        os.chmod(path, 0o700)
        for folder, names, _ in os.walk(path):
            for name in names:  # before it is read
                inner = os.path.join(folder, name)
                if not os.path.islink(inner):
                    os.chmod(inner, 0o700)
    remove(path)


def _take_write_permission(path: str | Path) -> None:
    mode = os.lstat(path).st_mode
    if not stat.S_ISLNK(mode):
        os.chmod(path, stat.S_IMODE(mode) & ~WRITABLE)
