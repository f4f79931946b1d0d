"""Read a file or a pipe that the user named: up to a limit, and no pipe that never ends."""

import os
import select
import stat
import time
from pathlib import Path

from opstore_daemon.protocol.limits import READ_SIZE
from opstore_daemon.system.files import NONBLOCK

PIPE_TIMEOUT = 60.0  # seconds in which all bytes must come from a pipe

_FLAGS = os.O_RDONLY | NONBLOCK | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)


class Unreadable(ValueError):
    """The path leads to no file or pipe that ends within the limit; the message is the reason."""


def read_bytes(path: Path, limit: int, *, pipes: bool = True) -> bytes:
    """Return the bytes of the file or, if `pipes`, of the pipe to its end.

    Raises Unreadable, also for more than `limit` bytes, and OSError.
    """
    # O_NONBLOCK: opening a named pipe would wait for a writer.
    descriptor = os.open(path, _FLAGS)
    try:
        _check_kind(os.fstat(descriptor).st_mode, pipes)
        deadline = time.monotonic() + PIPE_TIMEOUT
        pieces, size = [], 0
        while piece := _read_piece(descriptor, deadline):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise Unreadable(f"it has more than {limit // 1024} KiB")
    finally:
        os.close(descriptor)
    return b"".join(pieces)


def _check_kind(mode: int, pipes: bool) -> None:
    if stat.S_ISDIR(mode):
        raise Unreadable("it is a folder")
    if not stat.S_ISREG(mode) and not (pipes and stat.S_ISFIFO(mode)):
        raise Unreadable("it is neither a file nor a pipe" if pipes else "it is not a regular file")


def _read_piece(descriptor: int, deadline: float) -> bytes:
    """Return the next bytes, none at the end; raises Unreadable if a pipe has none before the deadline."""
    while True:
        try:
            return os.read(descriptor, READ_SIZE)
        except BlockingIOError:  # only a pipe blocks
            left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise Unreadable(f"the pipe did not end within {PIPE_TIMEOUT:.0f} seconds")
