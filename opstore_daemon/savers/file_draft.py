"""How a file in staging/ becomes a blob: sync it, give it a second name, sync the folder of that name."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.savers import posix
from opstore_daemon.savers.base import Draft
from opstore_daemon.savers.pipe import AVAILABLE, Pipes, SpliceFailed
from opstore_daemon.savers.posix import translated
from opstore_daemon.savers.quarantine import move_away
from opstore_daemon.system import full_disk
from opstore_daemon.system.writeback import WriteBack

SPARE = ".spare"
MOST_NAMES = 4  # of a draft's file: in staging/, in blobs/, and those of earlier publications in trash/ and quarantine/


class BlobDirectory:
    """The folders of the blobs, one for each first two digits."""

    def __init__(self, blobs: Path) -> None:
        self._blobs = blobs
        self._durable: set[Path] = set()

    def path_of(self, digest: Digest) -> Path:
        """Return the path of the blob, whether or not it exists; raises InvalidDigest."""
        name = Digest.parse(digest).hex
        return Path(f"{self._blobs}/{name[:2]}/{name}")

    def clear(self, path: Path) -> None:
        """Move what is in the place of a blob, and no file can replace, to the quarantine; raises OSError."""
        move_away(self._blobs.parent, path)

    def make(self, folder: Path) -> None:
        """Create the folder durably; raises OSError."""
        # Even if it existed: the process that created it may have died before its name was durable.
        if posix.make_folder(folder) or folder not in self._durable:
            posix.sync_folder(self._blobs)
            self._durable.add(folder)


class FileDraft(Draft):
    """A draft of a FileSaver: a file that becomes a blob by getting a second name."""

    def __init__(self, directory: BlobDirectory, path: Path, fd: int, pipes: Pipes) -> None:
        self._directory, self._path, self._fd, self._pipes = directory, path, fd, pipes
        found = os.fstat(fd)
        self._offset, self._sealed = found.st_size, _is_sealed(found)
        self._write_back = WriteBack(fd, self._offset)
        self._closed = self._unusable = False

    @property
    def offset(self) -> int:
        return self._offset

    def append(self, data: bytes | bytearray | memoryview) -> None:
        with self._writing(memoryview(data).nbytes):
            posix.write_all(self._fd, data, self._offset)

    def receive(self, source: int, limit: int) -> int:
        """Append from a connection (ReceivingDraft), with splice(2) if the system has it."""
        if AVAILABLE:
            with suppress(SpliceFailed), self._pipes.borrow() as pipe:
                count = pipe.fill(source, limit)
                with self._writing(count):
                    pipe.empty(self._fd, self._offset, count)
                return count
        data = os.read(source, min(limit, READ_SIZE))
        self.append(data)
        return len(data)

    def read_at(self, offset: int, buffer: memoryview) -> int:
        self._check_usable()
        with translated("reading a draft"):
            return posix.read_into(self._fd, offset, buffer)

    def seal(self) -> None:
        self._check_usable()
        self._sealed = True

    def publish(self, digest: Digest) -> None:
        self._check_usable()
        target = self._directory.path_of(digest)
        with translated("publishing a draft"):
            try:
                self._make_durable()
                self._directory.make(target.parent)
                with posix.opened_folder(target.parent) as folder:
                    self._place(target)
                    posix.sync(folder)
            except posix.SyncFailed:
                self._unusable = True
                raise

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with translated("closing a draft"):
                os.close(self._fd)

    def _check_usable(self) -> None:
        if self._closed:
            raise ValueError("the draft is closed")
        if self._unusable:
            raise errors.StorageFailed(reason="the draft is unusable after an earlier failure: open it again")

    @contextmanager
    def _writing(self, count: int) -> Iterator[None]:
        """Write `count` bytes at the offset in the context, or truncate the file to the offset."""
        self._check_usable()
        if self._sealed:
            # The file may already be a blob under its other name.
            raise errors.StorageFailed(reason="the draft was published: it takes no more bytes")
        with translated("writing a draft"):
            try:
                yield
            except BaseException:
                self._roll_back()
                raise
        self._offset += count
        self._write_back.wrote(count)

    def _roll_back(self) -> None:
        self._unusable = True
        with suppress(OSError):
            os.ftruncate(self._fd, self._offset)
            self._unusable = False

    def _make_durable(self) -> None:
        """Accept no more bytes, and sync those that are there."""
        found = os.fstat(self._fd)
        if not os.path.samestat(found, os.lstat(self._path)) or found.st_size != self._offset:
            raise OSError(errno.ESTALE, "The file is not the one that was written")
        self._sealed = True
        posix.make_read_only(self._fd)
        os.utime(self._fd)  # the last byte may be old, and a collector looks at the age
        try:
            posix.sync(self._fd)
        except posix.SyncFailed:
            # The page cache may hold bytes that the disk does not: nobody may resume this upload with them.
            with suppress(OSError):
                os.unlink(self._path)
            raise

    def _place(self, target: Path) -> None:
        """Give the file the name `target`, replacing whatever has it."""
        # The existing blob should be the same. Comparing takes longer than replacing it.
        if not posix.link(self._path, target):
            self._replace(target)

    def _replace(self, target: Path) -> None:
        spare = temp_name(self._path)
        try:
            if not posix.link(self._path, spare):
                self._copy(spare)
            try:
                os.rename(spare, target)
            except IsADirectoryError:
                self._directory.clear(target)
                os.rename(spare, target)
        finally:
            posix.unlink(spare)

    def _copy(self, spare: Path) -> None:
        # Renaming the draft itself would leave nothing to publish again after a crash.
        room = os.statvfs(spare.parent)
        if room.f_bavail * room.f_frsize < self._offset + full_disk.MARGIN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copy = posix.open_new(spare)
        try:
            offset = 0
            for piece in posix.pieces(self._fd, self._offset):
                posix.write_all(copy, piece, offset)
                offset += len(piece)
            posix.make_read_only(copy)
            posix.sync(copy)
        finally:
            os.close(copy)


def temp_name(path: Path) -> Path:
    """Return the path of a draft's second name or copy, which is about to replace a blob."""
    return path.with_suffix(SPARE)


def _is_sealed(found: os.stat_result) -> bool:
    return found.st_nlink > 1 or not found.st_mode & stat.S_IWUSR


def reopen(path: Path) -> int:
    """Open the existing file of a draft; it may have a second name if a publish gave it one."""
    posix.unlink(temp_name(path))
    # The mode of a sealed file forbids writing.
    flags = os.O_RDONLY if _is_sealed(os.lstat(path)) else os.O_RDWR
    fd = posix.open_regular(path, flags)
    if os.fstat(fd).st_nlink > MOST_NAMES:
        os.close(fd)
        raise OSError(errno.EMLINK, "The file has names that are not ours")
    return fd
