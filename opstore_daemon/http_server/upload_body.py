"""The body of an append, written into its upload as it arrives."""

from io import BytesIO

from waitress.receiver import FixedStreamReceiver

from opstore_daemon.http_server.chunks import ChunkedBody
from opstore_daemon.http_server.refusal import Refusal
from opstore_daemon.protocol import errors
from opstore_daemon.store.ingest.open_upload import Writer


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

    A failure to store them becomes the error of the receiver, which ends the request.
    """

    def __init__(self, writer: Writer, receiver: FixedStreamReceiver | ChunkedBody) -> None:
        self.writer = writer
        self._receiver = receiver
        self._count = 0

    def receive(self, source: int, limit: int) -> StoredBytes:
        """Have the upload read up to `limit` bytes from the connection; raises OSError if that fails."""
        try:
            return StoredBytes(self.writer.receive(source, limit))
        except errors.OpStoreError as error:
            return StoredBytes(1, error)  # any count will do: the rest is skipped and the connection closed

    def append(self, data: bytes | StoredBytes) -> None:
        """Store the bytes, or make the failure the error of the receiver."""
        self._count += len(data)
        try:
            if not isinstance(data, StoredBytes):
                self.writer.append(data)
            elif data.error is not None:
                raise data.error
        except errors.OpStoreError as error:
            self._receiver.error = Refusal(error)

    def __len__(self) -> int:
        return self._count

    def getfile(self) -> BytesIO:
        """Return the body for the application: empty, since the upload has it."""
        return BytesIO()

    def getbuf(self) -> "UploadBody":
        """Return this buffer: waitress calls a method to get it."""
        return self

    def close(self) -> None:
        """Release the upload, however the request ended: the stored bytes stay, and others may append."""
        self.writer.close()
