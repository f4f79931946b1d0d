"""Files that only their owner may read (mode 0600), and files that are written atomically."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from opstore_daemon.system.files import NAME_PREFIX, open_nofollow, read_regular, write_atomically

__all__ = [
    "NAME_PREFIX",
    "create",
    "files_in",
    "is_own",
    "make_folder",
    "open_private",
    "read",
    "readable_by_others",
    "replace_file",
    "write_atomically",
]


def open_private(path: Path, flags: int) -> int:
    """Return a descriptor of the file; a file that this creates has mode 0600. Raises OSError, also for a link."""
    return open_nofollow(path, flags, 0o600)


def create(path: Path) -> int:
    """Return a descriptor of a new file of mode 0600; raises FileExistsError if the path exists, and OSError."""
    return open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def read(path: Path, limit: int) -> bytes:
    """Return at most `limit` bytes of a regular file. Raises OSError, also for a link or another kind of file."""
    return read_regular(path, limit)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that everybody may read atomically; an existing one keeps its mode. Raises OSError."""
    try:
        state = path.stat()
    except FileNotFoundError:
        state = None
    write_atomically(path, data, mode=0o666, like=state)


def make_folder(path: Path) -> None:
    """Create the folder and its parents with mode 0700 where they do not exist; raises OSError, also for a link."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def files_in(folder: Path) -> list[Path]:
    """Return the entries of the folder in order, none if it is a link: its files are not ours. Raises OSError."""
    return [] if folder.is_symlink() else sorted(folder.iterdir())


def is_own(state: os.stat_result) -> bool:
    """Return whether this user owns the file of that state; True where the system has no owners."""
    return os.name != "posix" or state.st_uid == os.geteuid()


def readable_by_others(path: Path) -> bool:
    """Return whether users other than the owner may read or write the file or folder."""
    if os.name != "posix":
        return False
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    # A pipe (`<(command)` of a shell) has no other readers, whatever its mode.
    return (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
