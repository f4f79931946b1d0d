"""The digest and checksum of an upload, computed by a thread that reads back what was appended."""

import threading
from collections.abc import Callable

from opstore_daemon.protocol.limits import HASH_READ_SIZE
from opstore_daemon.store.ingest.upload_hash import UploadHash


class TrailingHash(UploadHash):
    """The digest and checksum of bytes that are appended somewhere, computed by a thread that follows the writer.

    The thread reads the bytes back: memory holds none of them, the writer never waits, and the digest is that of what
    was actually stored. All methods but `close` must be called by one thread at a time.
    """

    READ = HASH_READ_SIZE
    LAG = 1024 * 1024  # unhashed bytes from which a thread is worth starting
    LINGER = 0.5  # seconds for which an idle thread waits for more bytes

    def __init__(self, read: Callable[[memoryview, int], int]) -> None:
        """`read` fills a buffer with bytes from an offset on and returns their number, at least 1."""
        super().__init__(read)
        self._state = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_running = self._is_stopping = False

    def feed(self, data: bytes | memoryview) -> None:
        """Ignore the bytes: they are read back."""

    def advance(self, end: int) -> None:
        """Announce that the bytes before `end` are readable."""
        with self._state:
            self._end = end
            if end - self._hashed < self.LAG:
                return
            if self._is_running:
                self._state.notify()
                return
            self._is_running, self._is_stopping = True, False
            # Started under the lock, so that `close` can join whatever thread it finds.
            self._thread = threading.Thread(target=self._run, name="opstore-hash", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        buffer = memoryview(bytearray(self.READ))
        while self._wait_for_work():
            try:
                self._step(buffer)
            except Exception:  # noqa: BLE001 - `digest` reads the same bytes again and raises it to its caller
                with self._state:
                    self._is_running = False
                return

    def _wait_for_work(self) -> bool:
        """Return whether there are bytes to hash; if not, the thread ends."""
        with self._state:
            has_work = self._state.wait_for(
                lambda: self._is_stopping or self._end - self._hashed >= self.LAG, self.LINGER
            )
            self._is_running = has_work and not self._is_stopping
            return self._is_running

    def close(self) -> None:
        """Stop the thread. `advance` may start it again."""
        with self._state:
            thread, self._is_stopping = self._thread, True
            self._state.notify()
        if thread is not None:
            thread.join()
