"""Open files without following a link in their place, and write files atomically.

Where others can write to a folder, they may have put a link, a pipe or a device in the place of one of its files.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
# Characters of a file's name that the name of its temporary file begins with: file systems limit a name to 255 bytes.
NAME_PREFIX = 50

_ALWAYS: int = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_IS_LINK = (errno.ELOOP, errno.EMLINK)  # Linux and macOS, FreeBSD: the path is a link and O_NOFOLLOW was given


def open_nofollow(path: "os.PathLike[str] | str | bytes", flags: int, mode: int = 0o666) -> int:
    """Return a descriptor of the file, in binary mode and not inherited by child processes.

    `flags` and `mode` are those of os.open(). Raises OSError, also if `path` is a symbolic link.
    """
    return os.open(path, flags | _ALWAYS, mode)


def open_regular(path: Path, flags: int, mode: int = 0o600, *, changes: bool = False) -> int:
    """Return a descriptor of a regular file; a file that this creates has the mode, less the umask.

    Raises OSError, which names the path and what is there instead: a symbolic link, another kind of file or, if the
    file is opened for writing or `changes` in another way, one with a second name, such as a hard link to a file of
    another folder.
    """
    try:
        # O_NONBLOCK: opening a named pipe would wait for its other end.
        descriptor = open_nofollow(path, flags | NONBLOCK, mode)
    except OSError as error:
        if error.errno in _IS_LINK and path.is_symlink():
            raise _other_kind(path, "it is a symbolic link", errno.ELOOP) from None
        if error.errno == errno.ENXIO:  # a pipe that nobody reads, or a socket
            raise _other_kind(path, "it is not a regular file") from None
        raise
    found = os.fstat(descriptor)
    refusal = None
    if not stat.S_ISREG(found.st_mode):
        refusal = "it is not a regular file"
    elif found.st_nlink > 1 and (changes or flags & (os.O_WRONLY | os.O_RDWR)):
        refusal = "it is a hard link: the file has another name"
    if refusal is not None:
        os.close(descriptor)
        raise _other_kind(path, refusal)
    return descriptor


def read_regular(path: Path, limit: int) -> bytes:
    """Return at most `limit` bytes of a regular file. Raises OSError as `open_regular` does."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        return file.read(limit)


def is_at_path(path: Path, descriptor: int) -> bool:
    """Return whether the path still names the open file: somebody may have removed or replaced it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False


def write_atomically(
    path: Path, data: bytes, mode: int = 0o600, *, like: os.stat_result | None = None, durable: bool = True
) -> None:
    """Replace the file, or the link, at `path` by one with these bytes and this mode (less the umask).

    `like`: a file whose mode, and as far as permitted its owner, the new one gets instead. Other processes see the old
    file or the new one; if `durable`, also after a crash. Raises OSError, which names the path.
    """
    # Not all of its name: with the rest it could be too long.
    temporary = path.with_name(f".{path.name[:NAME_PREFIX]}.{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(open_nofollow(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            if like is not None:
                _make_like(file.fileno(), like)
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None
        raise


def _make_like(descriptor: int, state: os.stat_result) -> None:
    if os.name != "posix":
        return
    with suppress(OSError):  # only root may give a file away
        os.fchown(descriptor, state.st_uid, state.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(state.st_mode) & 0o777)


def _other_kind(path: Path, reason: str, number: int = errno.EINVAL) -> OSError:
    return OSError(number, reason, str(path))
