"""The hidden file that a pull writes to, and that a later process goes on with."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from opstore_cli.files.locks import LockedFile, try_lock
from opstore_daemon.protocol.digests import Digest, hex_of
from opstore_daemon.system.writeback import WriteBack

NAME_SHOWN = 50  # characters of a target's name in that of its part: 255 bytes are all that a name may have

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


def is_left(folder: Path, name: str) -> bool:
    """Whether there is a folder of that name, or what an earlier pull to a target whose name begins so has left.

    Then it depends on the version whether its bytes are wanted, or from where on.
    """
    if os.path.isdir(folder / name):
        return True
    start = f".{name[:NAME_SHOWN]}"
    try:
        return any(found.startswith(start) and found.endswith(".part") for found in os.listdir(folder))
    except OSError:
        return False


class PartFile:
    """The hidden file beside a target that its bytes are written to until all of them are verified."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path
        self._write_back = WriteBack(descriptor, self.size())

    @classmethod
    @contextlib.contextmanager
    def beside(cls, target: Path, digest: Digest) -> "Iterator[PartFile]":
        """The part for these bytes, with what an earlier process left in it; raises OSError.

        Where that one is in use, or not ours, another with a random name.
        """
        start = f".{target.name[:NAME_SHOWN]}.{hex_of(digest)[:16]}"
        path = target.with_name(f"{start}.part")
        descriptor = _create(path)
        if descriptor is None:
            descriptor = _take_up(path)
        if descriptor is None:
            path = target.with_name(f"{start}.{secrets.token_hex(8)}.part")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, 0o666)
        part = cls(descriptor, path)
        try:
            yield part
        finally:
            part.close()

    def size(self) -> int:
        """Bytes that it holds."""
        return os.fstat(self.descriptor).st_size

    def is_empty(self) -> bool:
        """Whether there is nothing to go on with."""
        return self.size() == 0

    def read(self, size: int) -> bytes:
        """The next bytes from where it stands."""
        return os.read(self.descriptor, size)

    def write(self, data: bytes | memoryview) -> None:
        """Writes all of it where it stands; raises OSError."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]
        self._write_back.wrote(len(data))

    def rewind(self) -> None:
        """Back to the start."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def empty(self) -> None:
        """Throws away what it holds."""
        os.ftruncate(self.descriptor, 0)
        self.rewind()
        self._write_back = WriteBack(self.descriptor, 0)

    def close(self) -> None:
        """Lets go of it. What it holds stays for a later process."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def remove(self) -> None:
        """Removes it."""
        if os.name != "posix":
            self.close()  # Windows removes no open file; elsewhere the lock is kept until the name is gone
        with contextlib.suppress(OSError):
            self.path.unlink()

    def publish(self, target: Path, overwrite: bool) -> None:
        """Makes it the target, durably; raises FileExistsError (unless `overwrite`) and OSError."""
        os.fsync(self.descriptor)
        if os.name != "posix":
            self.close()  # Windows moves no open file
        self._rename(target, overwrite)
        if os.name == "posix":
            _sync_folder(target.parent)

    def _rename(self, target: Path, overwrite: bool) -> None:
        if overwrite:
            os.replace(self.path, target)
            return
        try:
            os.link(self.path, target)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links. The name is claimed first, so that nothing is overwritten.
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o666))
            os.replace(self.path, target)
        else:
            self.remove()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that syncs no folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: Path) -> int | None:
    # Readable for whom the target will be: it becomes the target.
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, 0o666)
    except FileExistsError:
        return None
    if try_lock(descriptor) == "held":
        os.close(descriptor)  # another process took it up between the two calls
        return None
    return descriptor


def _take_up(path: Path) -> int | None:
    """An earlier process's part, if it is a plain file of ours that nobody is writing to."""
    try:
        descriptor = os.open(path, os.O_RDWR | _NOFOLLOW | _BINARY | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    if _is_ours(os.fstat(descriptor)) and try_lock(descriptor) == "taken":
        part = LockedFile(descriptor, path)
        # With a second name it is a target already, whose writer was killed before it took this name away.
        if part.is_still_there() and os.fstat(descriptor).st_nlink == 1:
            return descriptor
    os.close(descriptor)
    return None


def _is_ours(state: os.stat_result) -> bool:
    return stat.S_ISREG(state.st_mode) and (os.name != "posix" or state.st_uid == os.geteuid())
