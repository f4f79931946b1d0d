"""The permissions of files."""

import stat
from pathlib import Path


def mode(path: Path) -> int:
    """Return the permissions of the file, or of the link itself."""
    return stat.S_IMODE(path.lstat().st_mode)
