"""A folder on the disk as one seekable stream of known size, made as it is read: no copy of it is needed."""

import hashlib
import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opstore_cli.folders.tar_format import END, FILE, FOLDER, LINK, Entry, NoFolder, check_entry, header, padding
from opstore_daemon.protocol import errors

_ODD = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
# No link is followed, and a pipe that somebody put in a file's place does not hold us up.
_READING = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class PackedFolder:
    """The stream of a folder as it was when this was made. Raises FileRefused, naming the entry, wherever it fails.

    Memory holds a list of the entries, and of their content what is asked for at once.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        # In bytes: a name is the same then, whatever encoding the user's locale takes it for.
        self._root = os.fsencode(path)
        self._entries = sorted(self._scan(), key=lambda entry: entry.path)
        # Where the header of each entry begins, and then the end.
        self._starts = array("Q", [0])
        for entry in self._entries:
            content = entry.size + padding(entry.size)
            self._starts.append(self._starts[-1] + len(header(entry)) + content)
        self.size = self._starts[-1] + len(END)
        self._position = 0
        self._open: tuple[Entry, int] | None = None

    @property
    def entries(self) -> Sequence[Entry]:
        """All that is in it, in the order of the stream."""
        return self._entries

    @property
    def start_of_last(self) -> int:
        """Where in the stream the last entry begins; 0 where there is none."""
        return self._starts[max(len(self._entries) - 1, 0)]

    def fingerprint(self) -> str:
        """What tells this folder, as it was, from what it may become; in hex."""
        seen = hashlib.sha256()
        for entry in self._entries:
            seen.update(header(entry) + repr(entry.state).encode())
        return seen.hexdigest()

    def check_unchanged(self) -> None:
        """Raises FileRefused if anything in it changed, came or went."""
        now = sorted(self._scan(), key=lambda entry: entry.path)
        if now != self._entries:
            changed = min({*now} ^ {*self._entries}, key=lambda entry: entry.path)
            raise self._refused(changed.path, "it changed while it was read")

    def close(self) -> None:
        """The file that is being read is closed."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    # --- as a file ----------------------------------------------------------------------------------------------------

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer only at the end: a small file is no reason for a small piece."""
        left = max(self.size - self._position, 0)
        left = left if size < 0 else min(size, left)
        pieces = []
        while left:
            piece = self._piece(left)
            pieces.append(piece)
            self._position += len(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _piece(self, most: int) -> bytes:
        """The next bytes, as far as they come from one place."""
        number = bisect_right(self._starts, self._position) - 1
        offset = self._position - self._starts[number]
        if number == len(self._entries):
            return END[offset : offset + most]
        entry = self._entries[number]
        head = header(entry)
        if offset < len(head):
            return head[offset : offset + most]
        offset -= len(head)
        if offset < entry.size:
            return self._content(entry, offset, min(most, entry.size - offset))
        return bytes(min(most, entry.size + padding(entry.size) - offset))

    def _content(self, entry: Entry, offset: int, size: int) -> bytes:
        with self._naming(entry.path):
            descriptor = self._descriptor(entry)
            os.lseek(descriptor, offset, os.SEEK_SET)
            data = os.read(descriptor, size)
        if not data:
            raise self._refused(entry.path, "it became shorter while it was read")
        return data

    def _descriptor(self, entry: Entry) -> int:
        if self._open is None or self._open[0] is not entry:
            self.close()
            descriptor = os.open(os.path.join(self._root, entry.path), _READING)
            self._open = entry, descriptor
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or _state(found) != entry.state:
                raise self._refused(entry.path, "it changed while it was read")
        return self._open[1]

    # --- what is in it ------------------------------------------------------------------------------------------------

    def _scan(self) -> Iterator[Entry]:
        waiting = [b""]
        while waiting:
            folder = waiting.pop()
            with self._naming(folder), os.scandir(os.path.join(self._root, folder) if folder else self._root) as inside:
                names = [found.name for found in inside]
            for name in names:
                entry = self._look_at(folder + b"/" + name if folder else name)
                if entry.kind == FOLDER:
                    waiting.append(entry.path)
                yield entry

    def _look_at(self, path: bytes) -> Entry:
        place = os.path.join(self._root, path)
        with self._naming(path):
            # Not what scandir knows: on Windows that lacks what tells files apart.
            found = os.stat(place, follow_symlinks=False)
            kind = stat.S_IFMT(found.st_mode)
            if kind == stat.S_IFREG:
                # Windows makes this bit up from the name's ending.
                executable = os.name == "posix" and bool(found.st_mode & stat.S_IXUSR)
                entry = Entry(path, FILE, size=found.st_size, executable=executable, state=_state(found))
            elif kind == stat.S_IFDIR:
                entry = Entry(path, FOLDER)
            elif kind == stat.S_IFLNK:
                target = os.readlink(place)
                entry = Entry(path, LINK, target=target.replace(b"\\", b"/") if os.name == "nt" else target)
            else:
                raise self._refused(path, f"it is {_ODD.get(kind, 'no file, folder or link')}")
            check_entry(entry)
        return entry

    @contextmanager
    def _naming(self, path: bytes) -> Iterator[None]:
        try:
            yield
        except NoFolder as error:
            raise self._refused(path, str(error)) from None
        except OSError as error:
            raise self._refused(path, error.strerror or str(error)) from error

    def _refused(self, path: bytes, reason: str) -> errors.FileRefused:
        place = os.path.join(self._path, os.fsdecode(path)) if path else self._path
        return errors.FileRefused(path=place, reason=reason)


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
