"""The stream of a folder becomes a folder, entry by entry as it arrives, and never writes anywhere else."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from opstore_cli.files.part_folder import remove
from opstore_cli.folders.packing import PackedFolder
from opstore_cli.folders.tar_format import FILE, FOLDER, Entry, NoFolder, check_entry, padding, read_entry
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import READ_SIZE

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

WORTH = 8 * 1024 * 1024  # bytes of a file from which on a pull goes on within it
SYNCING = 4  # files that are brought to the disk at a time
SHOWN = 200  # characters of a path in an error
WAITING = 64  # files that may be open for that
# O_EXCL: whatever is there, also a link, is no place to write to.
_READING = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_GOING_ON = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Unpacked:
    """What an earlier process has unpacked into a folder: the beginning of the stream, if nothing happened to it since.

    The last entry is no part of it, since it may be half there. All is to be hashed: `pieces` is for that.
    """

    def __init__(self, packed: PackedFolder, root: Path) -> None:
        self._packed, self._root = packed, root
        self.entries: Sequence[Entry] = packed.entries[:-1]
        self.size = packed.start_of_last  # bytes of the stream

    @classmethod
    def of(cls, root: Path) -> Self:
        """What is in that folder; where it holds what no folder does, that is thrown away."""
        try:
            return cls(PackedFolder(str(root)), root)
        except errors.FileRefused:
            for name in os.listdir(root):
                remove(root / name)
            return cls(PackedFolder(str(root)), root)

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the stream, as they can be read now; raises IntegrityFailure where they can't."""
        left = self.size
        while left:
            try:
                piece = self._packed.read(min(READ_SIZE, left))
            except errors.FileRefused:
                raise errors.SizeMismatch(actual=self.size - left, expected=self.size) from None
            left -= len(piece)
            yield piece

    def half(self) -> Entry | None:
        """The last entry, where it is a file of which so much is there that it is worth going on within it.

        Otherwise there is room for it now.
        """
        for last in self._packed.entries[-1:]:
            if last.kind == FILE and last.size >= WORTH:
                return last
            remove(self._root / os.fsdecode(last.path))
        return None

    def close(self) -> None:
        """Lets go of what is read."""
        self._packed.close()


Skip = Callable[[Iterator[bytes]], None]  # passes over bytes of the stream that are here already: these


def _cannot(_: Iterator[bytes]) -> None:
    raise NotImplementedError("nothing is half there")


def unpack(
    pieces: Iterator[bytes],
    root: Path,
    target: Path,
    there: Sequence[Entry] = (),
    half: Entry | None = None,
    skip: Skip = _cannot,
) -> None:
    """Fills the folder `root`, which has the entries that are `there`, the beginning of `half`, and no other, durably.

    `pieces` are the stream behind those that are there. `target` is what the folder will be, for errors. Raises
    NoFolder where the stream is not that of a folder, and OutputFailed.
    """
    stream = _Stream(pieces, skip)
    folders = {b"", *(entry.path for entry in there if entry.kind == FOLDER)}
    last = there[-1].path if there else b""
    with _Syncer() as syncer:
        for left in there:
            if left.kind == FILE:
                with _naming(target, left):
                    syncer.sync(os.open(os.path.join(os.fsencode(root), left.path), _READING))
        while (entry := read_entry(stream.take)) is not None:
            _check(entry, last, folders)
            with _naming(target, entry):
                if half is not None and not _begins(half, entry):
                    remove(root / os.fsdecode(half.path))
                    half = None
                _write(entry, stream, root, syncer, 0 if half is None else half.size)
            last, half = entry.path, None
            if entry.kind == FOLDER:
                folders.add(entry.path)
        if stream.up_to(1):
            raise NoFolder("bytes follow its end")
        with _naming(target):
            syncer.finish()
            for folder in folders:
                _sync_folder(root, folder)


def _begins(half: Entry, entry: Entry) -> bool:
    """Whether the file may be the beginning of that one."""
    same = (half.path, half.kind, half.executable) == (entry.path, entry.kind, entry.executable)
    return same and half.size <= entry.size


def _check(entry: Entry, last: bytes, folders: set[bytes]) -> None:
    name = repr(str(entry)[:SHOWN])
    try:
        check_entry(entry)
    except NoFolder as error:
        raise NoFolder(f"{name}: {error}") from None
    if entry.path <= last:
        raise NoFolder(f"{name} comes twice, or out of order")
    # All that is written lies in folders which this process made just now, and a path names one thing for good: so
    # no link is ever on the way.
    if entry.path.rpartition(b"/")[0] not in folders:
        raise NoFolder(f"{name} is in no folder that came before it")


def _write(entry: Entry, stream: "_Stream", root: Path, syncer: "_Syncer", half: int) -> None:
    """Makes the entry; of a file `half` bytes are there."""
    place = os.path.join(os.fsencode(root), entry.path)
    try:
        if entry.kind == FOLDER:
            os.mkdir(place, 0o755)
        elif entry.kind == FILE:
            descriptor = os.open(place, _GOING_ON if half else _WRITING, 0o755 if entry.executable else 0o644)
            with syncer.closing(descriptor):
                if half:
                    _go_on(descriptor, half, stream)
                _fill(descriptor, entry.size - half, stream)
                if any(stream.take(padding(entry.size))):
                    raise NoFolder("what fills up a file's last block is not zeros")
        else:
            os.symlink(entry.target, place)
    except FileExistsError:
        raise NoFolder(f"{str(entry)!r} is another entry's name on this file system") from None


def _go_on(descriptor: int, half: int, stream: "_Stream") -> None:
    """Stands behind the bytes that are there. What of them came with the header is written anew, since it is hashed."""
    begun = stream.at_hand(half)
    size = len(begun)
    while begun:
        begun = begun[os.write(descriptor, begun) :]

    def there() -> Iterator[bytes]:
        left = half - size
        while left:
            data = os.read(descriptor, min(READ_SIZE, left))
            if not data:
                raise NoFolder("a file that was there became shorter")
            left -= len(data)
            yield data

    stream.skip(there())


def _fill(descriptor: int, left: int, stream: "_Stream") -> None:
    while left:
        data = stream.up_to(left)
        if not data:
            raise NoFolder("it ends in the middle of a file")
        left -= len(data)
        while data:
            data = data[os.write(descriptor, data) :]


@contextmanager
def _naming(target: Path, entry: Entry | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = target if entry is None else target / str(entry)
        raise errors.OutputFailed(path=str(place), reason=error.strerror or str(error)) from error


def _sync_folder(root: Path, folder: bytes) -> None:
    if os.name == "posix":
        descriptor = os.open(os.path.join(os.fsencode(root), folder), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Stream:
    """Bytes in pieces as they come, read in the pieces that are wanted."""

    def __init__(self, pieces: Iterator[bytes], skip: Skip) -> None:
        self._pieces, self._skip = pieces, skip
        self._rest = memoryview(b"")

    def at_hand(self, most: int) -> memoryview:
        """The next bytes, as far as they have come."""
        data, self._rest = self._rest[:most], self._rest[most:]
        return data

    def skip(self, instead: Iterator[bytes]) -> None:
        """Passes over what is here already, unless more than that is at hand."""
        if not self._rest:
            self._skip(instead)

    def up_to(self, size: int) -> memoryview:
        """The next bytes, none at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest = memoryview(piece)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def take(self, size: int) -> bytes:
        """The next so many bytes; raises NoFolder where there are fewer."""
        found = bytearray()
        while len(found) < size:
            data = self.up_to(size - len(found))
            if not data:
                raise NoFolder("it ends before its end")
            found += data
        return bytes(found)


class _Syncer:
    """Brings files to the disk, some at a time: one after the other, ten thousand take minutes on many disks."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()

    @contextmanager
    def closing(self, descriptor: int) -> Iterator[None]:
        """The file is closed when the context ends, or once it is on the disk, where that ends well."""
        try:
            yield
        except BaseException:
            os.close(descriptor)
            raise
        self.sync(descriptor)

    def sync(self, descriptor: int) -> None:
        """Brings the file to the disk, and closes it; raises OSError, of this file or of one before."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(SYNCING, thread_name_prefix="opstore-sync")
        self._waiting.append(self._pool.submit(_sync, descriptor))
        if len(self._waiting) >= WAITING:
            self._waiting.popleft().result()

    def finish(self) -> None:
        """All files are on the disk; raises OSError."""
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
