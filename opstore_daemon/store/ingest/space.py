"""The one rule for space: bytes that come in leave a margin free on the saver's disk, for the metadata."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opstore_daemon.protocol import errors
from opstore_daemon.system.full_disk import MARGIN, MIB

# A stream asks the system for the free space once in so many bytes, and at least once a second.
EVERY = 4 * MIB
VALID = 1.0  # seconds


class Space:
    """The free space of a saver, as all pushes of this process share it: together they leave the margin free."""

    def __init__(self, free: Callable[[], int | None]) -> None:
        """`free` returns how many bytes can still be stored, None if unknown: then nothing is ever refused."""
        self._free = free
        self._lock = threading.Lock()
        self._writing = 0  # bytes whose write has begun, which `free` may or may not count
        self._granted, self._granted_at = 0, 0.0  # bytes that streams may write before the next look

    def check(self, size: int) -> None:
        """Raise StorageFull unless `size` more bytes leave the margin free."""
        with self._lock:
            self._granted = 0
            self._look(size)

    @contextmanager
    def writing(self, size: int, *, streams: bool = False) -> Iterator[None]:
        """Write `size` bytes in the context; raise StorageFull first if they do not leave the margin free.

        `streams`: more will follow, so look ahead.
        """
        with self._lock:
            if not (streams and size <= self._granted and time.monotonic() - self._granted_at < VALID):
                self._granted = 0
                room = self._look(size)
                if streams and room is not None:
                    self._granted, self._granted_at = max(min(room, EVERY), size), time.monotonic()
            self._granted = max(self._granted - size, 0)
            self._writing += size
        try:
            yield
        finally:
            with self._lock:
                self._writing -= size

    def give_back(self, size: int) -> None:
        """Let streams write `size` bytes of the last look after all: fewer bytes arrived than could have."""
        with self._lock:
            if self._granted:  # or another push has looked meanwhile
                self._granted += size

    def _look(self, size: int) -> int | None:
        free = self._free()
        if free is None:
            return None
        room = free - MARGIN - self._writing
        if size > room:
            needed = f"{size} bytes are needed, and " if size else ""
            kept = f"besides the last {MARGIN // MIB} MiB, which are kept for metadata"
            raise errors.StorageFull(reason=f"{needed}{max(room, 0)} bytes are free {kept}")
        return room
