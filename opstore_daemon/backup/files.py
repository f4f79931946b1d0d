"""Files of a backup, in a folder that may be a bucket or a network drive: no links, locks or modes are needed there.

A new file gets its name when its bytes are complete, synced and, if asked for, read back. What a crash leaves has a
name of its own, which `is_part` knows.
"""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.system import folder_sync, full_disk
from opstore_daemon.system.files import NAME_PREFIX, open_nofollow, open_regular, read_regular

_PART = re.compile(rf"\..{{1,{NAME_PREFIX}}}\.[0-9a-f]{{16}}\.part")
# How file systems that have no sync refuse it. A disk that fails reports another error.
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Raise StorageFull or BackupFolderFailed in place of an OSError about the folder or a file in it."""
    try:
        yield
    except OSError as error:
        path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(folder)
        words = full_disk.reason(error, folder)
        if full_disk.is_full(error):
            raise errors.StorageFull(reason=f"{path} can't be written: {words}") from error
        raise errors.BackupFolderFailed(path=path, reason=words) from error


def is_part(name: str) -> bool:
    """Return whether it is the name of a file that a crash left incomplete."""
    return _PART.fullmatch(name) is not None


@contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """Yield the path of a new file that becomes `target`; an exception deletes it. Raises OSError."""
    part = target.with_name(f".{target.name[:NAME_PREFIX]}.{secrets.token_hex(8)}.part")
    try:
        yield part
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file and sync it. Raises OSError."""
    descriptor = open_nofollow(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        _sync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.close(descriptor)
        raise
    os.close(descriptor)  # some file systems store the bytes only now, and report here that they could not


def sync(path: Path) -> None:
    """Make the bytes of the file durable, where the system can. Raises OSError."""
    descriptor = open_regular(path, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    with suppress(AttributeError, OSError):  # so that the file is read back from the disk
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a regular file. Raises OSError, also for a symbolic link."""
    descriptor = open_regular(path, os.O_RDONLY)
    try:
        while piece := os.read(descriptor, READ_SIZE):
            yield piece
    finally:
        os.close(descriptor)


def sha256_of(pieces: Iterable[bytes]) -> str:
    """Return the SHA-256 of the bytes in hex."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def publish(part: Path, target: Path) -> None:
    """Give the complete file its name, replacing what has it. Raises OSError."""
    try:
        os.replace(part, target)
    except OSError as error:
        error.filename, error.filename2 = str(target), None
        raise


def replace(target: Path, data: bytes) -> None:
    """Replace the file atomically and, where the system can, durably. Raises OSError."""
    with part_of(target) as part:
        write(part, [data])
        publish(part, target)
        sync_names(target.parent)


def sync_names(folder: Path) -> None:
    """Make the names in the folder durable, where the system can. Raises OSError."""
    folder_sync.sync_folder(folder)


def make_folder(path: Path) -> None:
    """Create the folder for its owner only, unless it is there. Raises OSError, also for a link in its place."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if path.is_symlink() or not path.is_dir():
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None
        return
    sync_names(path.parent)


def read_text(path: Path) -> str:
    """Return the beginning of a text file. Raises OSError, also for a symbolic link."""
    return read_regular(path, 64 * 1024).decode("utf-8", "replace")
