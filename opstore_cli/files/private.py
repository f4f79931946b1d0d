"""Files that hold a token: written whole or not at all, and never readable by others, not for an instant."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from opstore_daemon.protocol import errors


def write(path: Path, data: bytes) -> None:
    """The file has these bytes, mode 0600, and no other state in between; raises OSError."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(create(fresh), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise


def create(path: Path) -> int:
    """A descriptor of a new file, mode 0600 whatever the umask; raises OSError where anything is there already."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, 0o600)


def read(path: Path, limit: int) -> bytes:
    """The bytes, at most so many, of a regular file that is no link; raises OSError, and InvalidSetting."""
    # O_NONBLOCK: to open a named pipe would wait for whoever writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise errors.InvalidSetting(setting=str(path), reason="it is no regular file")
        return file.read(limit)


def make_folder(path: Path) -> None:
    """The folder and the one that it is in are there, made for their owner only; raises OSError, also for a link."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(20, "it is no folder", str(path))


def readable_by_others(path: Path) -> bool:
    """Whether others than its owner may read or write the file or folder that is there."""
    if os.name != "posix":
        return False
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    # A pipe (`<(command)` of a shell) has no other readers, whatever its mode says.
    return (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
