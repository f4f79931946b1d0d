"""Move bytes from a connection to a file inside the kernel with splice(2), where it exists."""

import errno
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from opstore_daemon.savers import posix

ROOM = 1024 * 1024  # bytes, the size that Linux allows any user

AVAILABLE = sys.platform == "linux" and hasattr(os, "splice")


class SpliceFailed(Exception):
    """No pipe could be created, or the system or a sandbox refuses splice(2) from a connection: read it instead."""


class Pipe:
    """A kernel pipe between a connection and a file. One thread at a time fills and empties it.

    Bytes in the pipe are gone from the connection, so it has to be emptied at once.
    """

    def __init__(self) -> None:
        """Create the pipe. Raises SpliceFailed, for example if too many files are open."""
        try:
            self._out, self._into = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            raise SpliceFailed from error
        self._close = weakref.finalize(self, _close, self._out, self._into)
        with suppress(OSError):  # a user with many pipes keeps the default of 64 KiB
            import fcntl

            fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, ROOM)

    def fill(self, source: int, limit: int) -> int:
        """Move up to `limit` bytes of the connection into the pipe; return their number.

        Raises BlockingIOError and ConnectionError, and SpliceFailed, which loses no byte.
        """
        try:
            return os.splice(source, self._into, min(limit, ROOM))
        except (BlockingIOError, ConnectionError):
            raise
        except OSError as error:
            raise SpliceFailed from error

    def empty(self, to: int, offset: int, count: int) -> None:
        """Write `count` bytes from the pipe to the file at `offset`; after an OSError the pipe is unusable."""
        while count:
            try:
                written = os.splice(self._out, to, count, offset_dst=offset)
            except OSError as error:
                if error.errno not in posix.UNSUPPORTED:
                    raise
                # This file system has no splice; trying it each time costs only a few calls a MiB.
                written = _copy(self._out, to, count, offset)
            if not written:
                raise OSError(errno.EIO, "Nothing was written")
            count, offset = count - written, offset + written

    def close(self) -> None:
        """Close both ends and discard what is inside."""
        self._close()


def _copy(out: int, to: int, count: int, offset: int) -> int:
    data = os.read(out, count)
    posix.write_all(to, data, offset)
    return len(data)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class Pipes(threading.local):
    """One pipe for each thread that receives, for the life of the thread and of this object."""

    _pipe: Pipe | None = None

    @contextmanager
    def borrow(self) -> Iterator[Pipe]:
        """Yield this thread's empty pipe. The caller leaves it empty or raises."""
        pipe, self._pipe = self._pipe or Pipe(), None
        try:
            yield pipe
        except BaseException:
            pipe.close()
            raise
        self._pipe = pipe
