"""What a push reads from: bytes, the path of a file or a folder, or a file object, of a size that is known or not."""

import contextlib
import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from opstore_cli.folders.packing import PackedFolder
from opstore_cli.folders.tar_format import FOLDER_FORMAT
from opstore_cli.transfer.hashing import Hasher
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.samples import Sample, sample_of

if TYPE_CHECKING:
    import socket

    from opstore_cli.transfer.checksum import Summing

Readable = bytes | BinaryIO | Path | str


class Source:
    """An open file, from where it stood when it came. `size` is the bytes that are to come, None if unknown.

    It is read in order by `read`, or, where it `is_random`, from any place and by any thread by the others: not both.
    """

    format: str | None = None  # what the bytes are, where that is known here

    def __init__(self, file: BinaryIO, name: str, path: Path | None = None) -> None:
        self.name = name
        self.path = path
        self._file = file
        self._before = _regular(file)
        self._start, self.size = _extent(file)
        # Files of other makes may be slow to go back (one that unpacks begins anew), and are not for two readers.
        self.is_random = self.size is not None and (path is not None or _is_plain(file))
        self.summing: Summing | None = None  # what sums it already
        self._lock = threading.Lock()

    @property
    def identity(self) -> tuple[object, ...] | None:
        """What tells this file, as it is now, from all others, whatever its path; None where it is none with a path."""
        return None if self.path is None or self._before is None else _state(self._before)

    @property
    def is_file(self) -> bool:
        """Whether the bytes are those of an open file of the system, which it can read and send by their place."""
        return self._before is not None and self.is_random and hasattr(os, "preadv") and hasattr(os, "sendfile")

    def send_to(self, to: "socket.socket", offset: int, count: int) -> None:
        """Sends so many bytes of what `is_file`, without their ever being here; raises FileRefused, and OSError."""
        if to.sendfile(self._file, self._start + offset, count) < count:
            raise self.shorter()

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to so many of the bytes from that offset on, none at the end; raises FileRefused."""
        buffer = bytearray(size)
        count = self.read_into(memoryview(buffer), offset)
        del buffer[count:]
        return bytes(buffer)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fills the buffer with bytes from that offset on, and says how many there were, 0 at the end."""
        if self.is_file:
            with self._refusing():
                return os.preadv(self._file.fileno(), [buffer], self._start + offset)
        with self._lock:
            with self._refusing():
                self._file.seek(self._start + offset)
            data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def sample(self) -> Sample:
        """The sample of all bytes; raises FileRefused."""
        try:
            return sample_of(self.size or 0, self.read_into)
        except EOFError:
            raise self.shorter() from None

    def digest(self, progress: Callable[[int], None]) -> Digest:
        """The digest of all bytes; `progress` is told how many it is of so far. Raises FileRefused."""
        offset, size = 0, self.size or 0
        with Hasher() as hasher:
            buffers = hasher.buffers(size)
            while offset < size:
                buffer = next(buffers)
                count = self.read_into(buffer[: size - offset], offset)
                if not count:
                    raise self.shorter()
                hasher.update(buffer[:count])
                offset += count
                progress(offset)
            return hasher.digest()

    def read(self, size: int) -> bytes:
        """The next bytes, up to so many, none at the end; raises FileRefused."""
        with self._refusing():
            data = self._file.read(size)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise self.refused("it gives no bytes: it is not blocking, or was opened as text")
        return bytes(data)

    def read_full(self, size: int) -> bytes:
        """So many bytes, fewer only at the end; raises FileRefused."""
        pieces, left = [], size
        while left and (data := self.read(left)):
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def end(self) -> None:
        """A file object that was given stands behind its bytes now, as after reading them."""
        if self.size is not None:
            with self._lock, self._refusing():
                self._file.seek(self._start + self.size)

    def check_unchanged(self) -> None:
        """Raises FileRefused if the file changed since it was opened."""
        if self._before is not None:
            now = _regular(self._file)
            if now is None or _state(now) != _state(self._before):
                raise self.refused("it changed while it was read")

    def shorter(self) -> errors.FileRefused:
        """The error that says that it ended before its size."""
        return self.refused("it became shorter while it was read")

    def refused(self, reason: str) -> errors.FileRefused:
        return errors.FileRefused(path=self.name, reason=reason)

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        # Named here: further out, an OSError would read as one of the connection.
        try:
            yield
        except (OSError, ValueError) as error:
            raise self.refused(getattr(error, "strerror", None) or str(error)) from error


class Slice:
    """Some bytes of a source that `is_file`, to be sent."""

    def __init__(self, source: Source, offset: int, count: int) -> None:
        self._source, self._offset, self._count = source, offset, count

    def send_to(self, to: "socket.socket") -> None:
        """Sends them all; raises FileRefused, and OSError."""
        self._source.send_to(to, self._offset, self._count)


class FolderSource(Source):
    """A folder, as the stream that it is stored as."""

    format = FOLDER_FORMAT

    def __init__(self, folder: PackedFolder, path: Path | str) -> None:
        super().__init__(cast(BinaryIO, folder), str(path), Path(path))
        self._folder = folder

    @property
    def identity(self) -> tuple[object, ...] | None:
        return (self._folder.fingerprint(),)

    def check_unchanged(self) -> None:
        self._folder.check_unchanged()


@contextlib.contextmanager
def opened(source: "Readable | Source") -> Iterator[Source]:
    """The source, open while the context lasts; raises FileRefused. A file object is not closed, nor is a Source."""
    if isinstance(source, Source):
        yield source
    elif isinstance(source, Path | str) and os.path.isdir(source):
        with contextlib.closing(PackedFolder(str(source))) as folder:
            yield FolderSource(folder, source)
    elif isinstance(source, Path | str):
        with _open(Path(source)) as file:
            yield Source(file, str(source), Path(source))
    elif isinstance(source, bytes | bytearray | memoryview):
        yield Source(io.BytesIO(source), "the bytes")
    else:
        name = getattr(source, "name", None)
        yield Source(source, name if isinstance(name, str) else "the file")  # a number, where a descriptor was opened


def digest_of_path(path: Path) -> Digest | None:
    """The digest that a push of the file or folder would have; None where it can't be read."""
    try:
        with opened(path) as source, Hasher() as hasher:
            while data := source.read(READ_SIZE):
                hasher.update(data)
            source.check_unchanged()
            return hasher.digest()
    except errors.FileRefused:
        return None


def _open(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0))
    except FileNotFoundError:
        raise errors.FileRefused(path=str(path), reason="there is no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise errors.FileRefused(path=str(path), reason=reason) from None
    return os.fdopen(descriptor, "rb", buffering=0)


def _regular(file: BinaryIO) -> os.stat_result | None:
    try:
        state = os.fstat(file.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return state if stat.S_ISREG(state.st_mode) else None


def _is_plain(file: BinaryIO) -> bool:
    """Whether it is a file of the system (not what unpacks one, say), or bytes in memory."""
    # Also behind a buffer, and behind what `tempfile` puts around that.
    return type(getattr(file, "raw", file)) in (io.FileIO, io.BytesIO)


def _state(state: os.stat_result) -> tuple[int, int, int, int]:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _extent(file: BinaryIO) -> tuple[int, int | None]:
    """Where the file stands, and how many bytes follow."""
    try:
        if not file.seekable():
            return 0, None
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        file.seek(start)
    except (OSError, ValueError, AttributeError):
        return 0, None
    # Files that the kernel makes up as they are read (/proc) say that they are empty.
    return start, size if size > 0 else None
