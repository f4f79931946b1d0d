"""The digest of bytes while they are transferred, on a thread: a third faster than one after the other."""

import threading
from collections.abc import Iterator
from itertools import cycle
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from opstore_daemon.protocol.digests import Digest, digest_of, new_hash
from opstore_daemon.protocol.limits import READ_SIZE

WAITING = 4  # pieces that may wait to be hashed: this bounds the memory
SMALL = 64 * 1024  # bytes; a piece up to this is not worth a thread

Piece = bytes | memoryview


class Hasher:
    """A hash that a thread of its own keeps up to date, which hashlib lets run beside others.

    What is given to it must not change until `waiting` more pieces were: so many may wait.
    """

    # Not an executor: its locks for each piece take longer than the hash of a small one.

    def __init__(self, waiting: int = WAITING) -> None:
        self._most = waiting
        self._hash = new_hash()
        self._thread: threading.Thread | None = None
        self._given: SimpleQueue[Piece | None] = SimpleQueue()
        self._done: SimpleQueue[None] = SimpleQueue()
        self._waiting = 0

    def buffers(self, size: int) -> Iterator[memoryview]:
        """Where the pieces of so many bytes are read to by turns: it may still be at those of the last few turns."""
        return cycle([memoryview(bytearray(min(READ_SIZE, size))) for _ in range(self._most + 2)])

    def update(self, data: Piece) -> None:
        """The next bytes."""
        if self._thread is None:
            if len(data) <= SMALL:
                self._hash.update(data)
                return
            self._thread = threading.Thread(target=self._run, name="opstore-hash", daemon=True)
            self._thread.start()
        self._given.put(data)
        self._waiting += 1
        self._wait(self._most)

    def _run(self) -> None:
        while (data := self._given.get()) is not None:
            self._hash.update(data)
            del data
            self._done.put(None)

    def _wait(self, at_most: int) -> None:
        while self._waiting > at_most:
            self._done.get()
            self._waiting -= 1

    def digest(self) -> Digest:
        """The digest of all bytes so far."""
        self._wait(0)
        return digest_of(self._hash)

    def close(self) -> None:
        """Lets the thread go. More bytes may come all the same."""
        if self._thread is not None:
            self._given.put(None)
            # By its end, not by the count: who was interrupted in `_wait` may have it wrong, and would wait for ever.
            self._thread.join()
            self._thread, self._waiting, self._done = None, 0, SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
