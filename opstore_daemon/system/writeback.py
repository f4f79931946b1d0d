"""Bytes of a large file go to the disk while the next ones are still coming, so that the sync at the end finds little.

Linux writes what was written back after up to 30 seconds, or when asked. sync_file_range(2) asks without waiting; it
promises nothing, and fsync stays what makes bytes durable. Python has no name for it.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache

EVERY = 32 * 1024 * 1024  # bytes
_WRITE = 2  # SYNC_FILE_RANGE_WRITE: start writing what is dirty and not being written yet


class WriteBack:
    """What was written to one file: each `EVERY` bytes their way to the disk begins."""

    def __init__(self, fd: int, position: int) -> None:
        self._fd = fd
        self._begun = self._position = position

    def wrote(self, count: int) -> None:
        """So many bytes were written behind those before."""
        self._position += count
        if self._position - self._begun >= EVERY:
            _begin()(self._fd, self._begun, self._position - self._begun, _WRITE)
            self._begun = self._position


@cache
def _begin() -> Callable[[int, int, int, int], object]:
    try:
        call = ctypes.CDLL(None).sync_file_range if sys.platform == "linux" else None
    except (OSError, AttributeError):  # another C library
        call = None
    if call is None:
        return lambda *_: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    call.restype = ctypes.c_int
    return call
