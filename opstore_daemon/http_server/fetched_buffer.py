"""The file wrapper for bytes that a read may wait for: threads read them, so that the loop never does."""

import threading

from opstore_daemon.http_server.file_wrapper import ForwardBuffer
from opstore_daemon.http_server.storage_threads import StorageThreads
from opstore_daemon.store.blob_reader import BlobReader


class FetchedBuffer(ForwardBuffer):
    """A ForwardBuffer that has a thread read its next piece while the last one is sent.

    Call `get` only if `is_ready`. The loop is woken whenever a piece has been read.
    """

    def __init__(self, reader: BlobReader, storage: StorageThreads) -> None:
        super().__init__(reader)
        self._storage = storage
        self._lock = threading.Lock()
        self._fetched: bytes | BaseException | None = None
        self._unfetched = reader.stop - reader.start
        self._is_fetching = self._is_closed = False

    def is_ready(self) -> bool:
        """Return whether there are bytes to send, or a failure to raise; have them read otherwise."""
        with self._lock:
            if not self._piece and self._fetched is None:
                self._fetch()
            return bool(self._piece) or self._fetched is not None

    def get(self, numbytes: int = -1, skip: bool = False) -> memoryview:
        """Return the next bytes, at most `numbytes`; raise what reading them raised."""
        if not self._piece:
            self._piece = self._take()
        piece = self._piece if numbytes < 0 else self._piece[:numbytes]
        if skip:
            self.skip(len(piece))
        return piece

    def _take(self) -> memoryview:
        with self._lock:
            fetched, self._fetched = self._fetched, None
            if isinstance(fetched, BaseException):
                raise fetched
            self._fetch()
        return memoryview(fetched or b"")

    def _fetch(self) -> None:
        """Have a thread read the next piece, if there is one; the caller holds the lock."""
        if self._unfetched > 0 and not self._is_fetching and not self._is_closed:
            self._is_fetching = True
            self._storage.run(self._read)

    def _read(self) -> None:
        fetched: bytes | BaseException
        try:
            fetched = b"" if self._is_closed else self.file.read_piece()
        except BaseException as error:  # noqa: BLE001 - `get` raises it
            fetched = error
        with self._lock:
            self._is_fetching, self._fetched = False, fetched
            self._unfetched -= 0 if isinstance(fetched, BaseException) else len(fetched)
            is_closed = self._is_closed
        if is_closed:
            super().close()

    def close(self) -> None:
        """Close the reader, or have the thread do it that reads from it."""
        with self._lock:
            self._is_closed = True
            is_fetching = self._is_fetching
        if not is_fetching:
            super().close()
