"""Read the log of the local daemon: its last lines, and those that it writes from now on."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opstore_daemon.protocol import errors
from opstore_daemon.system.files import open_regular

BLOCK = 64 * 1024  # bytes
OLDER = (".1", ".2", ".3")  # suffixes of the older logs, newest first
POLL = 0.5  # seconds


def last_lines(path: Path, count: int) -> tuple[list[bytes], int]:
    """Return at most `count` lines from the end of the log and, if it is too short, of the older ones.

    The second value is the offset in the log behind the last of them. Raises LogNotFound and InvalidSetting.
    """
    lines, end = _tail(path, count)
    for suffix in OLDER:
        if len(lines) >= count:
            break
        older = path.with_name(path.name + suffix)
        if not os.path.lexists(older):
            break
        lines = _tail(older, count - len(lines))[0] + lines
    return lines, end


def following(path: Path, offset: int) -> Iterator[bytes]:
    """Yield each line that the log gets behind the offset, without an end; wait for it.

    The daemon starts a new log when it is full: the old one is read to its end, and then the new one.
    """
    while True:
        with _opened(path) as (descriptor, _):
            yield from _lines_until_replaced(path, descriptor, offset)
        offset = 0


def _lines_until_replaced(path: Path, descriptor: int, offset: int) -> Iterator[bytes]:
    rest = b""
    while True:
        is_replaced = _is_replaced(path, descriptor)  # before the last read: the daemon may have written since
        while data := os.pread(descriptor, BLOCK, offset):
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
        if is_replaced:
            return
        time.sleep(POLL)


def _is_replaced(path: Path, descriptor: int) -> bool:
    """Return whether another file is at the path; False while there is none."""
    try:
        return not os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False


def _tail(path: Path, count: int) -> tuple[list[bytes], int]:
    """Return the last whole lines of the file, at most `count`, and the offset behind them."""
    with _opened(path) as (descriptor, state):
        start, data = state.st_size, b""
        while start and data.count(b"\n") <= count:
            begin = max(start - BLOCK, 0)
            data = os.pread(descriptor, start - begin, begin) + data
            start = begin
    whole, _, rest = data.rpartition(b"\n")
    lines = whole.split(b"\n") if whole or data.startswith(b"\n") else []
    return lines[-count:] if count else [], state.st_size - len(rest)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Open the log; return its descriptor and state. Raises LogNotFound and InvalidSetting."""
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except FileNotFoundError:
        raise errors.LogNotFound(path=str(path)) from None
    except OSError as error:
        raise errors.InvalidSetting(setting=str(path), reason=errors.reason(error)) from None
    try:
        yield descriptor, os.fstat(descriptor)
    finally:
        os.close(descriptor)
