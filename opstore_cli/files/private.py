"""Files that only their owner may read (mode 0600), and files that are written atomically."""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from opstore_cli.files.nofollow import NONBLOCK, open_nofollow
from opstore_daemon.protocol import errors

# Characters of a file's name that the name of its temporary file begins with: file systems limit a name to 255 bytes.
NAME_PREFIX = 50


def open_private(path: Path, flags: int) -> int:
    """Return a descriptor of the file; a file that this creates has mode 0600. Raises OSError, also for a link."""
    return open_nofollow(path, flags, 0o600)


def create(path: Path) -> int:
    """Return a descriptor of a new file of mode 0600; raises FileExistsError if the path exists, and OSError."""
    return open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def read(path: Path, limit: int) -> bytes:
    """Return at most `limit` bytes of a regular file; raises InvalidSetting for another kind of file, and OSError."""
    # O_NONBLOCK: opening a named pipe would wait for a writer.
    with os.fdopen(open_private(path, os.O_RDONLY | NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise errors.InvalidSetting(setting=str(path), reason="it is not a regular file")
        return file.read(limit)


def write_atomically(path: Path, data: bytes, mode: int = 0o600, *, like: os.stat_result | None = None) -> None:
    """Replace the file, or the link, at `path` by one with these bytes and this mode (less the umask).

    `like`: a file whose mode, and as far as permitted its owner, the new one gets instead. Other processes see the old
    file or the new one, also after a crash. Raises OSError.
    """
    # Not all of its name: with the rest it could be too long.
    temporary = path.with_name(f".{path.name[:NAME_PREFIX]}.{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(open_nofollow(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            if like is not None:
                _make_like(file.fileno(), like)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that everybody may read atomically; an existing one keeps its mode. Raises OSError."""
    try:
        state = path.stat()
    except FileNotFoundError:
        state = None
    write_atomically(path, data, mode=0o666, like=state)


def _make_like(descriptor: int, state: os.stat_result) -> None:
    if os.name != "posix":
        return
    with suppress(OSError):  # only root may give a file away
        os.fchown(descriptor, state.st_uid, state.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(state.st_mode) & 0o777)


def make_folder(path: Path) -> None:
    """Create the folder and its parents with mode 0700 where they do not exist; raises OSError, also for a link."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


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
