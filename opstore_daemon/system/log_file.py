"""A log file in a folder that others may be able to write to."""

import logging.handlers
import os
from io import TextIOWrapper
from pathlib import Path

from opstore_daemon.system.files import open_regular


class LogFile(logging.handlers.RotatingFileHandler):
    """A rotating log file that follows no link, and is readable by its owner only.

    Raises OSError if another kind of file is in its place. The rotation renames files, which follows no link either;
    if it fails, the log grows beyond its size rather than losing lines.
    """

    def __init__(self, path: Path, size: int, count: int) -> None:
        """Open the file; it is renamed at `size` bytes, and `count` earlier ones are kept."""
        super().__init__(path, maxBytes=size, backupCount=count, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> TextIOWrapper:
        descriptor = open_regular(Path(self.baseFilename), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def doRollover(self) -> None:  # noqa: N802 - the name of the base class
        """Rename the files, and open a new one."""
        try:
            super().doRollover()
        except OSError:
            if self.stream is None:
                self.stream = self._open()
