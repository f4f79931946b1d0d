"""Compute the digest of bytes on a thread while they are transferred: a third faster than one after the other."""

import threading
from collections.abc import Callable, Generator, Iterator
from itertools import cycle
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from opstore_daemon.protocol.digests import Digest, digest_of, new_hash
from opstore_daemon.protocol.limits import READ_SIZE

MAX_WAITING = 4  # pieces that may wait to be hashed: this bounds the memory
INLINE = 64 * 1024  # bytes; a piece up to this size is hashed without the thread

Piece = bytes | memoryview


class Hasher:
    """A SHA-256 hash that is updated on its own thread; hashlib releases the GIL.

    Do not reuse a buffer before `max_waiting` more pieces were passed: that many are queued.
    """

    # Not an executor: its locks for each piece take longer than the hash of a small one.

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._hash = new_hash()
        self._thread: threading.Thread | None = None
        self._queue: SimpleQueue[Piece | None] = SimpleQueue()
        self._done: SimpleQueue[None] = SimpleQueue()
        self._waiting = 0

    def buffers(self, size: int) -> Iterator[memoryview]:
        """Return an endless iterator over buffers for pieces of `size` bytes in total.

        A buffer is reused only after its piece was hashed.
        """
        return cycle([memoryview(bytearray(min(READ_SIZE, size))) for _ in range(self._max_waiting + 2)])

    def update(self, data: Piece) -> None:
        """Hash the next bytes; waits while too many pieces are queued."""
        if self._thread is None:
            if len(data) <= INLINE:
                self._hash.update(data)
                return
            self._thread = threading.Thread(target=self._run, name="opstore-hash", daemon=True)
            self._thread.start()
        self._queue.put(data)
        self._waiting += 1
        self._wait(self._max_waiting)

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            self._hash.update(data)
            del data
            self._done.put(None)

    def _wait(self, at_most: int) -> None:
        while self._waiting > at_most:
            self._done.get()
            self._waiting -= 1

    def digest(self) -> Digest:
        """Return the digest of all bytes so far."""
        self._wait(0)
        return digest_of(self._hash)

    def close(self) -> None:
        """End the thread; a later `update` starts another one."""
        if self._thread is not None:
            self._queue.put(None)
            # Not `_wait`: if an interrupt ended it early, its count is wrong, and it would wait forever.
            self._thread.join()
            self._thread, self._waiting, self._done = None, 0, SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class HashedStream(Iterator[bytes]):
    """A stream that starts at an offset, and hashes every byte that it yields or skips."""

    def __init__(
        self, start: Callable[[int], Generator[bytes | memoryview, None, None]], first: int, hasher: Hasher
    ) -> None:
        self._start, self._position, self._hasher = start, first, hasher
        self._pieces = start(first)

    def __next__(self) -> bytes:
        piece = bytes(next(self._pieces))
        self._hasher.update(piece)
        self._position += len(piece)
        return piece

    def skip(self, local: Iterator[bytes]) -> None:
        """Hash these local bytes in place of the next bytes of the stream, and continue after them."""
        self._pieces.close()
        for piece in local:
            self._hasher.update(piece)
            self._position += len(piece)
        self._pieces = self._start(self._position)

    def close(self) -> None:
        """Close the current response."""
        self._pieces.close()
