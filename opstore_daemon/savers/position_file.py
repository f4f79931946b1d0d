"""A file with the position of the last commit, for a start that finds a database which ends before it.

It is overwritten in place after each commit, which needs no room on a full disk, and never synced: it outlives the
process, and after a crash of the system it may be behind, but never ahead of what the database has on the disk.
"""

import os
import re
import threading
from pathlib import Path

from opstore_daemon.system.files import open_regular

_DIGITS = 20
_RECORD = re.compile(rb"(\d{%d})\n" % _DIGITS)


class PositionFile:
    """The file at `path`, which is created by the first record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._position: int | None = None  # what the file says, once it is open
        self._writing = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether a position was recorded since the file was closed."""
        return self._fd is not None

    def read(self) -> int:
        """Return the position in the file; 0 if there is no file, or another content. Raises OSError."""
        try:
            fd = open_regular(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return 0
        with open(fd, "rb") as file:
            return _parse(file.read(_DIGITS + 1)) or 0

    def record(self, position: int) -> None:
        """Write the position unless the file has a larger one: commits may be recorded in any order. Raises OSError."""
        with self._writing:
            if self._fd is None:
                self._fd = open_regular(self._path, os.O_RDWR | os.O_CREAT)
                self._position = _parse(os.pread(self._fd, _DIGITS + 1, 0))
            if self._position is None or position > self._position:
                os.pwrite(self._fd, b"%0*d\n" % (_DIGITS, position), 0)
                self._position = position

    def close(self) -> None:
        """Close the file; the next record opens it again."""
        with self._writing:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None


def _parse(content: bytes) -> int | None:
    found = _RECORD.match(content)
    return int(found[1]) if found else None
