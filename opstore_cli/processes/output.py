"""What a command prints: read as it arrives, copied to whoever watches, and kept in part."""

import hashlib
import os
import select
import threading
from collections.abc import Callable
from typing import BinaryIO

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import MAX_OUTPUT

READ_SIZE = 64 * 1024  # bytes of one read
MARGIN = 100  # characters for the line that says what is missing
IDLE = 1.0  # seconds without output after which nobody waits for its end, if the command has ended
MAX_REST = 1024 * 1024  # bytes that a pipe may still have when the command has ended

Copy = Callable[[bytes], object]


class KeptOutput:
    """The beginning and the end of some output; the digest and the size (bytes) are of all of it."""

    def __init__(self, limit: int = MAX_OUTPUT) -> None:
        self._half = (limit - MARGIN) // 2
        self._hash = hashlib.sha256()
        self._head, self._tail = bytearray(), bytearray()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add output."""
        self._hash.update(data)
        self.size += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:][-self._half :]
        # Twice as much as is wanted, so that a byte is moved once and not with every write.
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    @property
    def digest(self) -> Digest:
        """The digest of all output so far."""
        return Digest.parse(f"sha256:{self._hash.hexdigest()}")

    def text(self, limit: int | None = None) -> str:
        """Return at most `limit` characters of the output, with a line for what is missing in the middle.

        A byte that is not of UTF-8, and a null character, is U+FFFD.
        """
        half = self._half if limit is None else min(self._half, max(limit - MARGIN, 0) // 2)
        if self.size <= 2 * half:
            return _decode(self._head + self._tail)
        head = _without_cut_end(self._head[:half])
        tail = _without_cut_start((self._head[half:] + self._tail)[-half:] if half else b"")
        missing = self.size - len(head) - len(tail)
        return f"{_decode(head)}\n[... {missing} bytes are not kept ...]\n{_decode(tail)}"


def _decode(data: bytes | bytearray) -> str:
    return data.decode(errors="replace").replace("\0", "\ufffd")


def _without_cut_end(data: bytes | bytearray) -> bytes:
    """Return the bytes without the first ones of a character at their end."""
    for length in range(1, min(4, len(data) + 1)):
        first = data[-length]
        if first >= 0xC0:  # of a character of 2, 3 or 4 bytes
            needed = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return bytes(data[:-length] if length < needed else data)
        if first < 0x80:
            break
    return bytes(data)


def _without_cut_start(data: bytes | bytearray) -> bytes:
    """Return the bytes without the last ones of a character at their start."""
    start = 0
    while start < min(3, len(data)) and 0x80 <= data[start] < 0xC0:
        start += 1
    return bytes(data[start:])


class OutputReader:
    """A thread that reads the output of a command until its end, so that the command never waits for us."""

    def __init__(self, source: BinaryIO, kept: KeptOutput, copy: Copy | None) -> None:
        self._source, self._kept, self._copy = source, kept, copy
        self._failure: BaseException | None = None
        self._has_ended = threading.Event()  # the command
        self.is_open = False  # a process that the command started still has its output open
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._read_all, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Read what is left after the command has ended; raise what `copy` raised.

        A process that the command started may have the output open: then its end is not waited for.
        """
        self._has_ended.set()
        os.write(self._wake, b".")
        self._thread.join()
        self._source.close()
        os.close(self._wake)
        os.close(self._woken)
        if self._failure is not None:
            raise self._failure

    def _read_all(self) -> None:
        rest = 0
        while (data := self._next()) is not None:
            if not data:
                return
            rest += len(data) if self._has_ended.is_set() else 0
            self._kept.write(data)
            self._show(data)
            if rest > MAX_REST:
                break
        self.is_open = True

    def _next(self) -> bytes | None:
        """Return the next bytes, none at the end; None if the command has ended and its output has not."""
        if os.name != "posix":  # select() is for sockets only
            return os.read(self._source.fileno(), READ_SIZE)
        waiting = [self._source.fileno(), *([] if self._has_ended.is_set() else [self._woken])]
        while True:
            ready = select.select(waiting, [], [], IDLE if self._has_ended.is_set() else None)[0]
            if self._source.fileno() in ready:
                return os.read(self._source.fileno(), READ_SIZE)
            if not ready:
                return None
            waiting = [self._source.fileno()]  # woken: the command has ended

    def _show(self, data: bytes) -> None:
        if self._copy is not None:
            try:
                self._copy(data)
            except BaseException as failure:  # noqa: BLE001 - `finish` raises it
                self._failure, self._copy = failure, None
