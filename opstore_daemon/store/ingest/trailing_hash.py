"""The digest and the checksum of an upload, by a thread that reads its bytes back."""

import threading
from collections.abc import Callable

from opstore_daemon.protocol.checksums import Checksum, checksum_of, new_sum
from opstore_daemon.protocol.digests import Digest, digest_of, new_hash
from opstore_daemon.protocol.limits import HASH_READ_SIZE


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
        buffer = memoryview(bytearray(HASH_READ_SIZE))
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
            buffer = memoryview(bytearray(min(HASH_READ_SIZE, self._end - self._hashed)))
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
