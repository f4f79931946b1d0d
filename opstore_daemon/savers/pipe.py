"""Bytes from a connection to a file by way of the system alone: splice(2), where there is one."""

import errno
import os
import socket
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from opstore_daemon.savers import posix

ROOM = 1024 * 1024  # bytes; what Linux grants a pipe without asking

AVAILABLE = sys.platform == "linux" and hasattr(os, "splice")


class Pipe:
    """What holds bytes between the two: filled from the one, emptied into the other, by one thread at a time.

    What it was filled with is gone from the connection, so it has to be emptied at once.
    """

    def __init__(self) -> None:
        self._out, self._into = os.pipe2(os.O_CLOEXEC)
        self._close = weakref.finalize(self, _close, self._out, self._into)
        with suppress(OSError):  # a user who has many keeps the usual 64 KiB
            import fcntl

            fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, ROOM)

    def fill(self, source: socket.socket, most: int) -> int:
        """Takes up to so many bytes of the connection, and says how many; raises OSError."""
        return os.splice(source.fileno(), self._into, min(most, ROOM))

    def empty(self, to: int, offset: int, count: int) -> None:
        """Writes what it was filled with to the file at that offset; raises OSError, and is of no use then."""
        while count:
            try:
                written = os.splice(self._out, to, count, offset_dst=offset)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # A file system that knows no such thing. Not tried again and again: it is a few calls a mebibyte.
                written = _copy(self._out, to, count, offset)
            if not written:
                raise OSError(errno.EIO, "Nothing was written")
            count, offset = count - written, offset + written

    def close(self) -> None:
        """Lets go of it, and of what is in it."""
        self._close()


def _copy(out: int, to: int, count: int, offset: int) -> int:
    data = os.read(out, count)
    posix.write_all(to, data, offset)
    return len(data)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class Pipes(threading.local):
    """A pipe for each thread that receives, as long as the thread and this live."""

    _pipe: Pipe | None = None

    @contextmanager
    def borrowed(self) -> Iterator[Pipe]:
        """The thread's own, empty; to be left empty, or by an exception."""
        pipe, self._pipe = self._pipe or Pipe(), None
        try:
            yield pipe
        except BaseException:
            pipe.close()
            raise
        self._pipe = pipe
