"""The hidden file beside a target that a pull writes to, and that a later pull resumes from."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from opstore_cli.files.locks import LockedFile, try_lock
from opstore_cli.files.private import NAME_PREFIX, is_own
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.system.files import NONBLOCK, open_nofollow
from opstore_daemon.system.folder_sync import sync_folder
from opstore_daemon.system.writeback import WriteBack

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL


def may_resume(folder: Path, name: str, *, is_prefix: bool = False) -> bool:
    """Return whether a pull to `name` may find bytes there: a file or folder, or a part of an earlier pull.

    `is_prefix`: only the beginning of the name is known yet. Only the digest of the version to pull shows whether the
    bytes belong to it.
    """
    start = f".{name[:NAME_PREFIX]}"
    try:
        others = os.listdir(folder)
    except OSError:
        return False
    return any(
        (other.startswith(start) and other.endswith(".part"))
        or (other.startswith(name) if is_prefix else other == name)
        for other in others
    )


class PartFile:
    """The hidden file that holds the bytes of a pull until all of them are verified."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path
        self._is_published = False
        self._write_back = WriteBack(descriptor, self.size())

    @classmethod
    @contextlib.contextmanager
    def beside(cls, target: Path, digest: Digest, *, executable: bool = False) -> "Iterator[PartFile]":
        """Open the part file for these bytes, including what an earlier process wrote to it. Raises OSError.

        `executable`: give it the permission to execute, as far as the umask allows.

        If another process uses it, or another user owns it, create one with a random name instead.
        """
        start = f".{target.name[:NAME_PREFIX]}.{digest.hex[:16]}"
        path = target.with_name(f"{start}.part")
        mode = 0o777 if executable else 0o666
        descriptor = _create(path, mode)
        if descriptor is None:
            descriptor = _reopen(path)
            if descriptor is not None and executable:
                _make_executable(descriptor)  # the earlier pull may have been of another version with these bytes
        if descriptor is None:
            path = target.with_name(f"{start}.{secrets.token_hex(8)}.part")
            descriptor = open_nofollow(path, _CREATE, mode)
        part = cls(descriptor, path)
        try:
            yield part
        finally:
            part.close()

    def size(self) -> int:
        """Return the number of bytes in it."""
        return os.fstat(self.descriptor).st_size

    def is_empty(self) -> bool:
        """Return whether it holds no bytes to resume from."""
        return self.size() == 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes from the current position, none at the end."""
        return os.read(self.descriptor, size)

    def write(self, data: bytes | memoryview) -> None:
        """Write all of the bytes at the current position; raises OSError."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]
        self._write_back.wrote(len(data))

    def rewind(self) -> None:
        """Set the position to the start."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def empty(self) -> None:
        """Discard all bytes and set the position to the start."""
        os.ftruncate(self.descriptor, 0)
        self.rewind()
        self._write_back = WriteBack(self.descriptor, 0)

    def close(self) -> None:
        """Close the file and release its lock; its bytes stay for a later process."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def remove(self) -> None:
        """Delete the file, unless it was published: another process may use the path since. Failures are ignored."""
        if self._is_published:
            return
        if os.name != "posix":
            self.close()  # Windows deletes no open file; elsewhere the lock is held until the name is gone
        with contextlib.suppress(OSError):
            self.path.unlink()

    def publish(self, target: Path, overwrite: bool) -> None:
        """Sync the bytes and give the file its final name; raises FileExistsError (unless `overwrite`) and OSError."""
        os.fsync(self.descriptor)
        if os.name != "posix":
            self.close()  # Windows renames no open file
        self._rename(target, overwrite)
        self._is_published = True
        sync_folder(target.parent)

    def _rename(self, target: Path, overwrite: bool) -> None:
        if overwrite:
            os.replace(self.path, target)
            return
        try:
            os.link(self.path, target)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links. O_EXCL claims the name, so that the rename replaces only that file.
            os.close(open_nofollow(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.replace(self.path, target)
        else:
            self.remove()


def make_executable(path: Path) -> None:
    """Let everybody execute the user's own file who may read it; anything else, such as a link, is left alone."""
    with contextlib.suppress(OSError):
        descriptor = open_nofollow(path, os.O_RDONLY | NONBLOCK)
        try:
            if is_own(os.fstat(descriptor)):
                _make_executable(descriptor)
        finally:
            os.close(descriptor)


def _make_executable(descriptor: int) -> None:
    state = os.fstat(descriptor)
    if os.name == "posix" and stat.S_ISREG(state.st_mode) and not state.st_mode & stat.S_IXUSR:
        mode = state.st_mode & 0o777  # never a setuid bit
        os.fchmod(descriptor, mode | (mode & 0o444) >> 2)


def _create(path: Path, mode: int) -> int | None:
    # With the usual mode, less the umask: the part becomes the target.
    try:
        descriptor = open_nofollow(path, _CREATE, mode)
    except FileExistsError:
        return None
    if try_lock(descriptor) == "busy":
        os.close(descriptor)  # another process reopened it between the two calls
        return None
    return descriptor


def _reopen(path: Path) -> int | None:
    """Open the part of an earlier process if it is a regular file of this user that no process writes to."""
    try:
        descriptor = open_nofollow(path, os.O_RDWR | NONBLOCK)
    except OSError:
        return None
    state = os.fstat(descriptor)
    if stat.S_ISREG(state.st_mode) and is_own(state) and try_lock(descriptor) == "acquired":
        part = LockedFile(descriptor, path)
        # A second link is a target: its writer was killed before it could remove this name.
        if part.is_at_path() and os.fstat(descriptor).st_nlink == 1:
            return descriptor
    os.close(descriptor)
    return None
