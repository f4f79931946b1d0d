"""Start writing a large file to the disk while it is still arriving, so that the final sync is short.

Linux writes dirty pages after up to 30 seconds, or when asked. sync_file_range(2) asks without waiting and promises
nothing: fsync is what makes bytes durable. Python has no function for it.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache

EVERY = 32 * 1024 * 1024  # bytes
_WRITE = 2  # SYNC_FILE_RANGE_WRITE: start writing what is dirty and not being written yet


class WriteBack:
    """The writes to one file: write-back starts every `EVERY` bytes."""

    def __init__(self, fd: int, position: int) -> None:
        self._fd = fd
        self._started = self._position = position

    def wrote(self, count: int) -> None:
        """Count `count` bytes written at the end."""
        self._position += count
        if self._position - self._started >= EVERY:
            _sync_file_range()(self._fd, self._started, self._position - self._started, _WRITE)
            self._started = self._position


@cache
def _sync_file_range() -> Callable[[int, int, int, int], object]:
    try:
        call = ctypes.CDLL(None).sync_file_range if sys.platform == "linux" else None
    except (OSError, AttributeError):  # another C library
        call = None
    if call is None:
        return lambda *_: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    call.restype = ctypes.c_int
    return call
