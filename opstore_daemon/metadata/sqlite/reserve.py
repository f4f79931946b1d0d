"""A preallocated file beside the database, given up when a full disk blocks what would free space.

SQLite can't delete a row on a full disk: the deletion is written to its log first. Nor can it open a database whose
daemon was killed: it needs its `-shm` file for that. So 8 MiB are kept for both.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.system.full_disk import MARGIN, RESERVE

log = logging.getLogger("opstore.reserve")

T = TypeVar("T")

_UNIT = 512  # bytes of a block in st_blocks, whatever the file system's own


class Reserve:
    """The reserve of the database at `database`; None, a database in memory, has none."""

    def __init__(self, database: Path | None) -> None:
        self.path = None if database is None else database.with_name(f"{database.name}-reserve")
        self._is_kept = False

    def keep(self) -> None:
        """Create the file if there is room, and keep it from now on."""
        self._is_kept = True
        self.refill()

    def spend_on(self, work: Callable[[], T]) -> T:
        """Do work that frees space, or a step of the start; if the disk is full, give the reserve up and try again.

        Refill it afterwards (`Connections.regain_space`). Raises what the work raises.
        """
        try:
            return work()
        except errors.StorageFull as error:
            if not self.give_up():
                raise
            log.warning("gave up the reserve of %d bytes: %s", RESERVE, error.text)
        return work()

    def give_up(self) -> bool:
        """Delete the file; return whether there was one."""
        if self.path is None:
            return False
        try:
            self.path.unlink()
        except OSError:
            return False
        return True

    def is_missing(self) -> bool:
        """Return whether it is kept, and was given up or is not whole."""
        if self.path is None or not self._is_kept:
            return False
        try:
            found = os.lstat(self.path)
        except OSError:
            return True
        return found.st_size != RESERVE or found.st_blocks * _UNIT < RESERVE

    def refill(self) -> None:
        """Create the file if it is missing and the disk has room; failures are ignored, for the next call to repeat."""
        if self.path is not None and self.is_missing():
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
                room = os.statvfs(self.path.parent)
                if room.f_bavail * room.f_frsize >= RESERVE + MARGIN:
                    self._create()

    def _create(self) -> None:
        assert self.path is not None  # noqa: S101
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _allocate(descriptor)
        except OSError:
            self.path.unlink()
            raise
        finally:
            os.close(descriptor)


def _allocate(descriptor: int) -> None:
    with suppress(AttributeError, OSError):  # macOS has no such call, and some file systems do not support it
        os.posix_fallocate(descriptor, 0, RESERVE)
    if os.fstat(descriptor).st_blocks * _UNIT < RESERVE:
        # Random, because a file system that compresses stores zeros in no space.
        for offset in range(0, RESERVE, READ_SIZE):
            os.pwrite(descriptor, os.urandom(READ_SIZE), offset)
