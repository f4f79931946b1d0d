"""The body of an append, written into its upload as it arrives."""

import logging
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

from waitress.receiver import FixedStreamReceiver

from opstore_daemon.http_server.chunks import ChunkedBody
from opstore_daemon.http_server.refusal import Refusal
from opstore_daemon.http_server.storage_threads import StorageThreads
from opstore_daemon.protocol import errors
from opstore_daemon.store.ingest.writer import Writer

log = logging.getLogger("opstore.error")


class StoredBytes:
    """A count of received bytes that an upload has stored already; `error` is set if that failed."""

    def __init__(self, count: int, error: errors.OpStoreError | None = None) -> None:
        self.count, self.error = count, error

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, part: slice) -> "StoredBytes":
        """Return a slice: waitress cuts received data to the length of the body, which is never exceeded here."""
        return StoredBytes(len(range(self.count)[part]), self.error)


class UploadBody:
    """The buffer that waitress' body receiver fills; it passes the bytes on to an upload.

    The loop must not wait: while the upload `is_waiting`, it receives nothing from the connection. A failure to open
    the upload is the `failure`; one to store the bytes becomes the error of the receiver. Both end the request.
    """

    def __init__(
        self,
        receiver: FixedStreamReceiver | ChunkedBody,
        storage: StorageThreads | None,
        writer: Writer | None,
        open_writer: Callable[[], Writer],
    ) -> None:
        """`open_writer` returns the writer in a thread of `storage` if it is not there yet; without threads, here."""
        self.writer = writer
        self.failure: errors.OpStoreError | None = None
        self._receiver, self._storage, self._open_writer = receiver, storage, open_writer
        self._count = 0
        self._closing = threading.Lock()
        self._closed = self._is_called_back = self._is_resting = False
        if writer is None:
            self._run(self._open)

    def _run(self, work: Callable[[], None]) -> None:
        if self._storage is None:
            work()
        else:
            self._storage.run(work)

    def _open(self) -> None:
        try:
            writer = self._open_writer()
        except errors.OpStoreError as error:
            self.failure = error
        except Exception:
            self.failure = errors.InternalError(reference=uuid.uuid4().hex[:12])
            log.exception("opening an upload failed; the reference is %s", self.failure.details["reference"])
        else:
            with self._closing:
                self.writer = writer
                is_wanted = not self._closed
            if not is_wanted:
                self._store_rest()

    @property
    def is_opening(self) -> bool:
        """Whether a thread is opening the upload."""
        return self.writer is None and self.failure is None

    def is_waiting(self) -> bool:
        """Return whether the upload takes no bytes now; the loop is woken when that may have changed."""
        writer = self.writer
        if writer is None:
            return self.failure is None
        if self._is_resting:
            return True
        if writer.is_ready():
            return False
        if not self._is_called_back:
            self._is_called_back = True
            writer.when_ready(self._call_back)
        return True

    def _call_back(self) -> None:
        self._is_called_back = False
        if self._storage is not None:
            self._storage.wake()

    @property
    def lacks_memory(self) -> bool:
        """Whether the upload has waited for memory, or for the storage, since the last time that it took bytes."""
        return self._is_called_back

    def rest(self) -> None:
        """Store what the upload has, and give its memory to others until more bytes come: its client sends nothing."""
        if self.writer is not None and self.writer.is_unstored and not (self._is_resting or self._is_called_back):
            self._is_resting = True
            self._run(self._rest)

    def _rest(self) -> None:
        try:
            with suppress(errors.OpStoreError):  # the next append reports it
                self._opened.rest()
        finally:
            self._is_resting = False

    @property
    def is_unstored(self) -> bool:
        """Whether the upload has accepted bytes that are to be stored before the response: call `store`."""
        return self.writer is not None and self.writer.is_unstored

    def store(self) -> None:
        """Store what the upload has accepted; the application reports a failure. Waits."""
        if self.writer is not None:
            with suppress(errors.OpStoreError):
                self.writer.finish()

    def receive(self, source: int, limit: int) -> StoredBytes:
        """Have the upload read up to `limit` bytes from the connection; raises OSError if that fails."""
        try:
            return StoredBytes(self._opened.receive(source, limit))
        except errors.OpStoreError as error:
            return StoredBytes(1, error)  # any count will do: the rest is skipped and the connection closed

    def append(self, data: bytes | StoredBytes) -> None:
        """Store the bytes, or make the failure the error of the receiver."""
        self._count += len(data)
        try:
            if not isinstance(data, StoredBytes):
                self._opened.append(data)
            elif data.error is not None:
                raise data.error
        except errors.OpStoreError as error:
            self._receiver.error = Refusal(error)

    @property
    def _opened(self) -> Writer:
        assert self.writer is not None, "no bytes are received before"  # noqa: S101
        return self.writer

    def __len__(self) -> int:
        return self._count

    def getfile(self) -> BytesIO:
        """Return the body for the application: empty, since the upload has it."""
        return BytesIO()

    def getbuf(self) -> "UploadBody":
        """Return this buffer: waitress calls a method to get it."""
        return self

    def close(self) -> None:
        """Release the upload, however the request ended: the accepted bytes stay, and others may append."""
        with self._closing:
            self._closed = True
        if self.writer is not None:
            self.writer.close()
            if self.writer.is_unstored:
                self._run(self._store_rest)

    def _store_rest(self) -> None:
        self.store()
        if self.writer is not None:
            with suppress(errors.OpStoreError):
                self.writer.end_if_refused()
