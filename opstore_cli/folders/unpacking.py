"""Unpack the tar stream of a folder entry by entry as it arrives, and write nowhere outside that folder."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from opstore_cli.files.part_folder import remove
from opstore_cli.folders.packing import PackedFolder
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.folder_format import FILE, FOLDER, Entry, InvalidFolder, check_entry, padding, read_entry
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.system.files import open_nofollow
from opstore_daemon.system.folder_sync import sync_folder

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

RESUMABLE_FILE = 8 * 1024 * 1024  # bytes; a file of this size is resumed in its middle, a smaller one from its start
SYNC_THREADS = 4  # files that are synced at a time
MAX_WAITING = 64  # files that may be open, waiting to be synced
MAX_SHOWN = 200  # characters of a path in an error


class PartialFolder:
    """The beginning of a stream that an earlier process unpacked into a folder, if the folder is still the same.

    `entries` are complete; the last entry on the disk is not among them, because it may be incomplete. The caller
    verifies all of it: `pieces` are the bytes to hash.
    """

    def __init__(self, packed: PackedFolder, root: Path) -> None:
        self._packed, self._root = packed, root
        self.entries: Sequence[Entry] = packed.entries[:-1]
        self.size = packed.start_of_last  # bytes of the stream

    @classmethod
    def of(cls, root: Path) -> Self:
        """Return the state of the folder; empties it first if it holds anything that can't be packed."""
        try:
            return cls(PackedFolder(str(root)), root)
        except errors.FileRefused:
            for name in os.listdir(root):
                remove(root / name)
            return cls(PackedFolder(str(root)), root)

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the stream, read from the disk; raises SizeMismatch if they can't be read."""
        left = self.size
        while left:
            try:
                piece = self._packed.read(min(READ_SIZE, left))
            except errors.FileRefused:
                raise errors.SizeMismatch(actual=self.size - left, expected=self.size) from None
            left -= len(piece)
            yield piece

    def incomplete_file(self) -> Entry | None:
        """Return the last entry if it is a file that is worth resuming; delete it otherwise."""
        for last in self._packed.entries[-1:]:
            if last.kind == FILE and last.size >= RESUMABLE_FILE:
                return last
            remove(self._root / os.fsdecode(last.path))
        return None

    def close(self) -> None:
        """Close the file that is being read."""
        self._packed.close()


# Replaces the next bytes of the stream by these, which are read from the disk.
Skip = Callable[[Iterator[bytes]], None]


def _no_skip(_: Iterator[bytes]) -> None:
    raise NotImplementedError("there is no incomplete file")


def unpack(
    pieces: Iterator[bytes],
    root: Path,
    target: Path,
    complete: Sequence[Entry] = (),
    incomplete: Entry | None = None,
    skip: Skip = _no_skip,
) -> None:
    """Write the entries of the stream to the folder `root`, and sync them.

    `root` holds the `complete` entries, the beginning of the file `incomplete`, and nothing else; `pieces` are the
    stream after the complete ones. `target` is the final path of the folder, for errors. Raises InvalidFolder and
    OutputFailed.
    """
    stream = _Stream(pieces, skip)
    folders = {b"", *(entry.path for entry in complete if entry.kind == FOLDER)}
    last = complete[-1].path if complete else b""
    with _Syncer() as syncer:
        for entry in complete:
            if entry.kind == FILE:
                with _translated_errors(target, entry):
                    syncer.sync(open_nofollow(os.path.join(os.fsencode(root), entry.path), os.O_RDONLY))
        while (next_entry := read_entry(stream.read_exactly)) is not None:
            check_next(next_entry, last, folders)
            with _translated_errors(target, next_entry):
                if incomplete is not None and not _may_begin(incomplete, next_entry):
                    remove(root / os.fsdecode(incomplete.path))
                    incomplete = None
                _write(next_entry, stream, root, syncer, 0 if incomplete is None else incomplete.size)
            last, incomplete = next_entry.path, None
            if next_entry.kind == FOLDER:
                folders.add(next_entry.path)
        if stream.read(1):
            raise InvalidFolder("there are bytes after its end")
        with _translated_errors(target):
            syncer.finish()
            for folder in folders:
                sync_folder(os.path.join(os.fsencode(root), folder))


def _may_begin(incomplete: Entry, entry: Entry) -> bool:
    """Return whether the incomplete file may be the beginning of the entry."""
    is_same = (incomplete.path, incomplete.kind, incomplete.executable) == (entry.path, entry.kind, entry.executable)
    return is_same and incomplete.size <= entry.size


def check_next(entry: Entry, last: bytes, folders: set[bytes]) -> None:
    """Raise InvalidFolder unless the entry may follow that of the path `last`; `folders` came before it."""
    name = repr(str(entry)[:MAX_SHOWN])
    try:
        check_entry(entry)
    except InvalidFolder as error:
        raise InvalidFolder(f"{name}: {error}") from None
    if entry.path <= last:
        raise InvalidFolder(f"{name} is duplicated or out of order")
    # Every parent is a folder that this process made just now, and no path is written twice: so no parent is a link.
    if entry.path.rpartition(b"/")[0] not in folders:
        raise InvalidFolder(f"{name} is in a folder that does not come before it")


def _write(entry: Entry, stream: "_Stream", root: Path, syncer: "_Syncer", existing: int) -> None:
    """Create the entry, or complete a file whose first `existing` bytes are on the disk."""
    path = os.path.join(os.fsencode(root), entry.path)
    try:
        if entry.kind == FOLDER:
            os.mkdir(path, 0o755)
        elif entry.kind == FILE:
            # O_EXCL: whatever is at the path, a link for instance, is not written to.
            flags = os.O_RDWR if existing else os.O_WRONLY | os.O_CREAT | os.O_EXCL
            descriptor = open_nofollow(path, flags, 0o755 if entry.executable else 0o644)
            with syncer.closing(descriptor):
                if existing:
                    _skip_existing(descriptor, existing, stream)
                _fill(descriptor, entry.size - existing, stream)
                if any(stream.read_exactly(padding(entry.size))):
                    raise InvalidFolder("the padding of a file is not zeros")
        else:
            os.symlink(entry.target, path)
    except FileExistsError:
        raise InvalidFolder(f"{str(entry)!r} is another entry's name on this file system") from None


def _skip_existing(descriptor: int, existing: int, stream: "_Stream") -> None:
    """Set the file's position after its `existing` bytes, and skip them in the stream.

    Those that arrived together with the header are already hashed: they are written again.
    """
    arrived = stream.buffered(existing)
    size = len(arrived)
    while arrived:
        arrived = arrived[os.write(descriptor, arrived) :]

    def local() -> Iterator[bytes]:
        left = existing - size
        while left:
            data = os.read(descriptor, min(READ_SIZE, left))
            if not data:
                raise InvalidFolder("an incomplete file became shorter")
            left -= len(data)
            yield data

    stream.skip(local())


def _fill(descriptor: int, size: int, stream: "_Stream") -> None:
    while size:
        data = stream.read(size)
        if not data:
            raise InvalidFolder("it ends in the middle of a file")
        size -= len(data)
        while data:
            data = data[os.write(descriptor, data) :]


def _translated_errors(target: Path, entry: Entry | None = None) -> AbstractContextManager[None]:
    path = target if entry is None else target / str(entry)
    return errors.translated(OSError, to=errors.OutputFailed, path=str(path))


class _Stream:
    """Reads any number of bytes from pieces of any size."""

    def __init__(self, pieces: Iterator[bytes], skip: Skip) -> None:
        self._pieces, self._skip = pieces, skip
        self._buffer = memoryview(b"")

    def buffered(self, limit: int) -> memoryview:
        """Return up to `limit` bytes that have arrived already."""
        data, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return data

    def skip(self, local: Iterator[bytes]) -> None:
        """Replace the next bytes by local ones, unless the buffer holds bytes that come after these."""
        if not self._buffer:
            self._skip(local)

    def read(self, limit: int) -> memoryview:
        """Return up to `limit` bytes, none at the end."""
        while not self._buffer:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._buffer = memoryview(piece)
        return self.buffered(limit)

    def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes; raises InvalidFolder if there are fewer."""
        data = bytearray()
        while len(data) < size:
            piece = self.read(size - len(data))
            if not piece:
                raise InvalidFolder("it ends early")
            data += piece
        return bytes(data)


class _Syncer:
    """Syncs files on a few threads: sequentially, ten thousand files take minutes on many disks."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()

    @contextmanager
    def closing(self, descriptor: int) -> Iterator[None]:
        """Sync and close the file after the context; only close it if the context fails."""
        try:
            yield
        except BaseException:
            os.close(descriptor)
            raise
        self.sync(descriptor)

    def sync(self, descriptor: int) -> None:
        """Sync the file on a thread, and close it; raises OSError of this file or of an earlier one."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="opstore-sync")
        self._waiting.append(self._pool.submit(_sync, descriptor))
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Wait until all files are synced; raises OSError."""
        while self._waiting:
            self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
