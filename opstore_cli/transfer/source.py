"""The bytes that a push reads: from memory, the path of a file or folder, or a file object."""

import contextlib
import io
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from opstore_cli.files.targets import leads_to_descriptor
from opstore_cli.folders.ignore import IgnoreRules
from opstore_cli.folders.packing import PackedFolder
from opstore_cli.transfer.hashing import Hasher
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.folder_format import FOLDER_FORMAT
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.protocol.samples import Sample, sample_of
from opstore_daemon.system.files import NONBLOCK

if TYPE_CHECKING:
    import socket

# The names that the store records (protocol.records). A lone surrogate stands for a byte that is not UTF-8.
_FILENAME = re.compile(r"[^\x00-\x1f\x7f/\\\ud800-\udfff]{1,255}")

Readable = bytes | BinaryIO | Path | str


class Source:
    """An open file, read from its current position. `size`: the bytes left, None if unknown.

    Read it with `read` (sequential), or, if it `is_random`, with `read_at`, `read_into` or `send_to` at any offset and
    from any thread. Do not mix them.
    """

    format: str | None = None  # the version's format, if the kind of source decides it
    follows_links = False  # a folder whose links are followed
    exclude: tuple[str, ...] = ()  # patterns of the entries of a folder that are skipped
    skipped: tuple[int, bool] = (0, False)  # entries of a folder that patterns exclude, and whether `.git` is skipped

    def __init__(self, file: BinaryIO, name: str, path: Path | None = None) -> None:
        self.name = name
        self.path = path
        self._file = file
        self._seeking = threading.Lock()
        self._initial = _regular(file)
        self._start, self.size = _extent(file)
        # Other file objects may be slow to seek back (gzip decompresses from the start).
        self.is_random = self.size is not None and (path is not None or _is_plain(file))

    @property
    def identity(self) -> tuple[object, ...] | None:
        """Identify the file in its current state, whatever its path; None if it is not a file opened by path."""
        return None if self.path is None or self._initial is None else _state(self._initial)

    @property
    def filename(self) -> str | None:
        """The base name of a regular file that was opened by path; None if the store can't record it."""
        if self.path is None or self._initial is None or leads_to_descriptor(self.path):
            return None
        return self.path.name if _FILENAME.fullmatch(self.path.name) else None

    @property
    def is_executable(self) -> bool:
        """Return whether it is a regular file that was opened by path and that its owner may execute."""
        # Windows derives this bit from the suffix.
        is_known = os.name == "posix" and self.filename is not None and self._initial is not None
        return is_known and bool(self._initial and self._initial.st_mode & stat.S_IXUSR)

    @property
    def is_file(self) -> bool:
        """Whether the bytes are those of an open regular file, which preadv() and sendfile() work on."""
        return self._initial is not None and self.is_random and hasattr(os, "preadv") and hasattr(os, "sendfile")

    def fileno(self) -> int:
        """Return the descriptor of a source that `is_file`."""
        return self._file.fileno()

    def send_to(self, to: "socket.socket", offset: int, count: int) -> None:
        """Send `count` bytes of a source that `is_file` with os.sendfile(), without copying them into this process.

        If the file system refuses sendfile(2), they are read and sent. Raises FileRefused, and OSError for the socket.
        """
        file = _PositionedFile(self, offset)
        if to.sendfile(cast(BinaryIO, file), self._start + offset, count) < count:
            raise self.truncation()

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from the offset on, none at the end; raises FileRefused."""
        buffer = bytearray(size)
        count = self.read_into(memoryview(buffer), offset)
        del buffer[count:]
        return bytes(buffer)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes from the offset on into the buffer; return how many, 0 at the end. Raises FileRefused."""
        if self.is_file:
            with self._translated_errors():
                return os.preadv(self._file.fileno(), [buffer], self._start + offset)
        with self._seeking:
            with self._translated_errors():
                self._file.seek(self._start + offset)
            data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def sample(self) -> Sample:
        """Return the sample of all bytes; raises FileRefused."""
        try:
            return sample_of(self.size or 0, self.read_into)
        except EOFError:
            raise self.truncation() from None

    def digest(self, progress: Callable[[int], None]) -> Digest:
        """Return the digest of all bytes; calls `progress` with the bytes hashed so far. Raises FileRefused."""
        offset, size = 0, self.size or 0
        with Hasher() as hasher:
            buffers = hasher.buffers(size)
            while offset < size:
                buffer = next(buffers)
                count = self.read_into(buffer[: size - offset], offset)
                if not count:
                    raise self.truncation()
                hasher.update(buffer[:count])
                offset += count
                progress(offset)
            return hasher.digest()

    def read(self, size: int) -> bytes:
        """Return up to `size` of the next bytes, none at the end; raises FileRefused."""
        with self._translated_errors():
            data = self._file.read(size)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise self.refusal("read() did not return bytes: it is in non-blocking or text mode")
        return bytes(data)

    def read_full(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end; raises FileRefused."""
        pieces, left = [], size
        while left and (data := self.read(left)):
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def end(self) -> None:
        """Set the position of the caller's file object to the end, as if it had been read sequentially."""
        if self.size is not None:
            with self._translated_errors():
                self._file.seek(self._start + self.size)

    def check_unchanged(self) -> None:
        """Raise FileRefused if the file changed since it was opened."""
        if self._initial is not None:
            now = _regular(self._file)
            if now is None or _state(now) != _state(self._initial):
                raise self.refusal("it changed while it was read")

    def truncation(self) -> errors.FileRefused:
        """Return the FileRefused for a source that ends before its size."""
        return self.refusal("it became shorter while it was read")

    def refusal(self, reason: str) -> errors.FileRefused:
        """Return a FileRefused that names this source."""
        return errors.FileRefused(path=self.name, reason=reason)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        # Translated here, because the transport would take an OSError for a failure of the connection.
        try:
            yield
        except (OSError, ValueError) as error:
            raise self.refusal(errors.reason(error)) from error


class _PositionedFile:
    """A source that `is_file`, as socket.sendfile() takes it: if sendfile(2) fails, it reads from the offset on.

    Errors of the file are raised as FileRefused: an OSError would count as one of the connection.
    """

    mode = "rb"

    def __init__(self, source: Source, offset: int) -> None:
        self._source, self._offset = source, offset

    def fileno(self) -> int:
        return self._source.fileno()

    def read(self, size: int) -> bytes:
        data = self._source.read_at(self._offset, size)
        self._offset += len(data)
        return data

    def seek(self, _position: int) -> None:
        """Do nothing: the offset is known, and sendfile(2) does not change the position of the file."""


class Slice:
    """A range of bytes of a source that `is_file` (transport.interface.Slice)."""

    def __init__(self, source: Source, offset: int, count: int) -> None:
        self._source, self._offset, self._count = source, offset, count

    def send_to(self, to: "socket.socket") -> None:
        """Send all of them; raises FileRefused, and OSError for the socket."""
        self._source.send_to(to, self._offset, self._count)


class FolderSource(Source):
    """A folder, read as the tar stream that the store keeps."""

    format = FOLDER_FORMAT
    filename = None
    is_executable = False

    def __init__(self, folder: PackedFolder, path: Path | str) -> None:
        super().__init__(cast(BinaryIO, folder), str(path), Path(path))
        self._folder = folder

    @property
    def identity(self) -> tuple[object, ...] | None:
        return (self._folder.fingerprint(),)

    def check_unchanged(self) -> None:
        self._folder.check_unchanged()


@contextlib.contextmanager
def open_source(
    source: "Readable | Source", *, follow_links: bool = False, exclude: Sequence[str] = ()
) -> Iterator[Source]:
    """Yield the source, opened; a file object or a Source is not closed at the end. Raises FileRefused.

    `follow_links`: store what the links in a folder lead to in place of the links. `exclude`: patterns of entries of a
    folder to skip, in addition to those of its `.opstoreignore`.
    """
    if isinstance(source, Source):
        yield source
    elif isinstance(source, Path | str) and os.path.isdir(source):
        rules = IgnoreRules.of_folder(str(source), exclude)
        with contextlib.closing(PackedFolder(str(source), follow_links=follow_links, rules=rules)) as folder:
            made = FolderSource(folder, source)
            made.follows_links, made.exclude, made.skipped = follow_links, tuple(exclude), folder.skipped
            yield made
    elif isinstance(source, Path | str):
        with _open(Path(source)) as file:
            yield Source(file, str(source), Path(source))
    elif isinstance(source, bytes | bytearray | memoryview):
        yield Source(io.BytesIO(source), "the bytes")
    else:
        name = getattr(source, "name", None)
        yield Source(source, name if isinstance(name, str) else "the file")  # an int if opened by descriptor


def has_bytes(path: Path, digest: str | None, size: int | None) -> bool:
    """Return whether the file or folder has that digest and size; False if it can't be read."""
    return digest is not None and digest_of_path(path, size) == digest


def digest_of_path(path: Path, size: int | None = None) -> Digest | None:
    """Return the digest of the regular file or folder, skipping nothing; None if it can't be read or has another size.

    Neither a pipe nor a device is read, which might not end.
    """
    try:
        with _open_whole(path, size) as source, Hasher() as hasher:
            if size is not None and source.size not in (None, size):
                return None
            while data := source.read(READ_SIZE):
                hasher.update(data)
            source.check_unchanged()
            return hasher.digest()
    except errors.FileRefused:
        return None


@contextlib.contextmanager
def _open_whole(path: Path, size: int | None) -> Iterator[Source]:
    if os.path.isdir(path):
        with contextlib.closing(PackedFolder(str(path), max_size=size)) as folder:
            yield FolderSource(folder, path)
        return
    # O_NONBLOCK: opening a named pipe would wait for a writer.
    with _open(path, NONBLOCK) as file:
        if _regular(file) is None:
            raise errors.FileRefused(path=str(path), reason="it is not a regular file")
        yield Source(file, str(path), path)


def _open(path: Path, flags: int = 0) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0))
    except FileNotFoundError:
        raise errors.FileRefused(path=str(path), reason="there is no such file") from None
    except (OSError, ValueError) as error:
        raise errors.FileRefused(path=str(path), reason=errors.reason(error)) from None
    return os.fdopen(descriptor, "rb", buffering=0)


def _regular(file: BinaryIO) -> os.stat_result | None:
    try:
        state = os.fstat(file.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return state if stat.S_ISREG(state.st_mode) else None


def _is_plain(file: BinaryIO) -> bool:
    """Return whether it is a file of the system or a BytesIO, and not, for example, a decompressor."""
    # `raw` is the file below a buffer, also through the wrapper of `tempfile`.
    return type(getattr(file, "raw", file)) in (io.FileIO, io.BytesIO)


def _state(state: os.stat_result) -> tuple[int, int, int, int]:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _extent(file: BinaryIO) -> tuple[int, int | None]:
    """Return the current position and the number of bytes after it, None if unknown."""
    try:
        if not file.seekable():
            return 0, None
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        file.seek(start)
    except (OSError, ValueError, AttributeError):
        return 0, None
    # Files in /proc report a size of 0.
    return start, size if size > 0 else None
