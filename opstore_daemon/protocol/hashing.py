"""The digest of bytes on their way, taken beside their transfer: a third faster than in turn with it."""

import threading
from collections.abc import Callable, Iterator
from itertools import cycle
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from opstore_daemon.protocol.checksums import Checksum, checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash

BLOCK = 1024 * 1024  # bytes that are read, sent or hashed at once, where there are as many
STEP = 256 * 1024  # bytes that are read back and hashed at once: they stay in the processor's cache in between
WAITING = 4  # pieces that may wait to be hashed: what bounds the memory
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
        return cycle([memoryview(bytearray(min(BLOCK, size))) for _ in range(self._most + 2)])

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


class TrailingHash:
    """The digest, and a checksum, of bytes that lie where they can be read, by a thread behind whoever adds to them.

    It reads them back. So none is kept in memory for it, whoever adds never waits for it, and what it has seen is what
    lies there. All but `close` is called by one thread at a time.
    """

    LAG = 1024 * 1024  # bytes that are worth a thread
    LINGER = 0.5  # seconds for which the thread waits for more

    def __init__(self, read: Callable[[memoryview, int], int]) -> None:
        """`read` fills the buffer with the bytes from that offset on, and says how many it had."""
        self._read = read
        self._hash, self._sum = new_hash(), new_sum()
        self._hashed = self._end = 0
        self._state = threading.Condition()
        self._thread: threading.Thread | None = None
        self._runs = self._stopping = False

    def reach(self, end: int) -> None:
        """The bytes up to there can be read now."""
        with self._state:
            self._end = end
            if end - self._hashed < self.LAG:
                return
            if self._runs:
                self._state.notify()
                return
            self._runs, self._stopping = True, False
        self._thread = threading.Thread(target=self._run, name="opstore-hash", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        buffer = memoryview(bytearray(STEP))
        while self._is_behind():
            try:
                self._step(buffer)
            except Exception:  # noqa: BLE001 - whoever asks for the digest reads it again, and meets it
                with self._state:
                    self._runs = False
                return

    def _is_behind(self) -> bool:
        """Whether there is work for the thread, now or before long; else it has ended."""
        with self._state:
            behind = self._state.wait_for(lambda: self._stopping or self._end - self._hashed >= self.LAG, self.LINGER)
            self._runs = behind and not self._stopping
            return self._runs

    def _step(self, buffer: memoryview) -> None:
        count = self._read(buffer[: self._end - self._hashed], self._hashed)
        self._hash.update(buffer[:count])
        self._sum.update(buffer[:count])
        self._hashed += count

    def digest(self) -> Digest:
        """The digest of all bytes so far; raises what `read` does."""
        self._catch_up()
        return digest_of(self._hash)

    def checksum(self) -> Checksum:
        """The checksum of the same."""
        self._catch_up()
        return checksum_of(self._sum)

    def _catch_up(self) -> None:
        self.close()
        if self._hashed < self._end:
            buffer = memoryview(bytearray(min(STEP, self._end - self._hashed)))
            while self._hashed < self._end:
                self._step(buffer)

    def close(self) -> None:
        """Lets the thread go. More bytes may come all the same."""
        thread = self._thread
        if thread is not None:
            with self._state:
                self._stopping = True
                self._state.notify()
            thread.join()
